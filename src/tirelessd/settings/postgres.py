"""The knobs of the shared store; where it is says `store` itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tirelessd.settings.kinds import PostgresUrl, SecretText, SettingsModel

Connections = Annotated[int, Field(ge=1, le=100)]


class ConnectionsSettings(SettingsModel):
    """How many connections each daemon has at most; idle ones are closed after a minute."""

    intake: Connections = 2
    """For accepting. One commits whatever waits, the other finds out what became of a commit whose
    answer was lost; more do not help."""

    slots: Connections = 2
    """For claiming and settling; as for intake. Apart, so that slots cannot starve intake."""

    upkeep: Connections = 2
    """For what operators and upkeep change."""

    reads: Connections = 4
    """For the read API and for counts."""


class PostgresSettings(SettingsModel):
    """The shared store; none of it matters to an embedded one."""

    password: SecretText | None = None
    """The password, where the URL has none; a secret, and may be given as `{file: /path}`. Without
    either the file that `PGPASSFILE` names is asked, as by everything that uses libpq."""

    direct_url: PostgresUrl | None = None
    """A URL past a transaction pooler, for migrations and for the hints by which daemons tell each
    other of due items; may be given as `{file: /path}`. Left out, they take the same way as all
    else, and there are no hints where `statement_cache` is 0."""

    connections: ConnectionsSettings = ConnectionsSettings()
    """How many connections each daemon has at most, by purpose: 10 in all, and
    one more for hints."""

    connect_timeout_seconds: Annotated[float, Field(ge=0.1, le=60)] = 3.0
    """How long a connection may take to be made. Callers do not wait so long for their answer."""

    statement_cache: Annotated[int, Field(ge=0, le=10_000)] = 256
    """How many prepared statements a connection keeps; there are fewer. Say 0 behind a transaction
    pooler that does not know of prepared statements."""

    migrate_at_start: bool = True
    """Whether a start brings the schema up. With false somebody runs `tirelessd migrate`, as a user
    with more rights perhaps, and a daemon that comes too early waits for it."""

    allow_unsafe_durability: bool = False
    """Whether a server with `fsync` or `synchronous_commit` off is good enough. It would lose what
    was accepted, in a power cut or a crash."""
