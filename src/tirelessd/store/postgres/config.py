"""What the shared store is told: where its database is, and how much of it to use."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec


class PostgresConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The shared store's own values.

    `url` and `direct_url` are `postgresql://…`; the second leads past a transaction pooler, for
    migrations and hints. `password` is used where the URL has none. `statement_cache` is how many
    prepared statements a connection keeps; 0 where a pooler hands every transaction to another one.
    """

    url: str
    direct_url: str | None = None
    password: str | None = None
    intake_connections: int = 2
    slots_connections: int = 2
    upkeep_connections: int = 2
    read_connections: int = 4
    connect_timeout_seconds: float = 3.0
    statement_cache: int = 256
    is_migrating: bool = True
    allows_unsafe_durability: bool = False

    def __repr__(self) -> str:
        # Or a password would stand in whatever shows it.
        return f"PostgresConfig({self.place})"

    @property
    def place(self) -> str:
        """The database as people may see it: without user, password and options."""
        return place_of(self.url)


def place_of(url: str) -> str:
    """Server and database of a URL, and nothing that could be a secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or "a local socket"
    return f"{host}{parts.path}"
