"""Bringing the schema up: numbered files, in their order, each once, and only ever forward.

Daemons of two versions work side by side while one replaces the other. So a migration first only
adds (expand), and what nobody uses any more is taken away versions later (contract). The number a
migration gives as `compatible_from` is that of the oldest schema a daemon may have been built for
and still work with this one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

import msgspec
from asyncpg import Connection, LockNotAvailableError, Record

from tirelessd.core.errors import Misconfigured, StoreUnavailable
from tirelessd.store.postgres.checks import check_privileges

# One number for all of them, known to nothing else: whoever migrates holds it.
LOCK: Final = 0x7469_7265_6C65_7373
LOCK_SECONDS: Final = 30
# A large table takes its time to be indexed; the lock above keeps everybody else waiting politely.
STATEMENT_SECONDS: Final = 3600
CHECK_SECONDS: Final = 5.0
PATH: Final = re.compile(r"(\d{4})_(\w+)\.sql")
COMPATIBLE: Final = re.compile(r"^-- compatible_from: (\d+)$", re.MULTILINE)

# The server stops within a second what a killed process has left behind, where it can notice that.
_PREPARE: Final = f"""
SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s';
SET LOCAL idle_in_transaction_session_timeout = '60s';
SELECT set_config('client_connection_check_interval', '1s', true)
WHERE version() !~* 'visual c|msvc|mingw';
"""
_LOCK: Final = f"SELECT pg_advisory_xact_lock({LOCK})"
_HISTORY: Final = """
CREATE TABLE IF NOT EXISTS schema_versions (
    version integer PRIMARY KEY,
    name text NOT NULL,
    compatible_from integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_EXISTS: Final = "SELECT to_regclass('schema_versions') IS NOT NULL"
_CURRENT: Final = """
SELECT version, compatible_from FROM schema_versions ORDER BY version DESC LIMIT 1
"""
_RECORD: Final = "INSERT INTO schema_versions (version, name, compatible_from) VALUES ($1, $2, $3)"


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema; `compatible_from` as said above."""

    version: int
    name: str
    compatible_from: int
    sql: str


class Schema(msgspec.Struct, frozen=True):
    """What a database has: 0 before the first migration."""

    version: int
    compatible_from: int


NO_SCHEMA: Final = Schema(0, 0)


@cache
def migrations() -> Sequence[Migration]:
    """All that this build knows, in their order."""
    folder = resources.files(__package__).joinpath("migrations")
    named = ((PATH.fullmatch(file.name), file) for file in folder.iterdir())
    found = [read(match, file.read_text("utf-8")) for match, file in named if match]
    return sorted(found, key=lambda each: each.version)


def read(match: re.Match[str], sql: str) -> Migration:
    """A migration from its file's name and text."""
    version = int(match[1])
    compatible = COMPATIBLE.search(sql)
    return Migration(version, match[2], int(compatible[1]) if compatible else version, sql)


def latest() -> int:
    """The version that this build is made for."""
    return migrations()[-1].version


async def schema_of(connection: Connection[Record]) -> Schema:
    """What the database has."""
    if not await connection.fetchval(_EXISTS, timeout=CHECK_SECONDS):
        return NO_SCHEMA
    found = await connection.fetchrow(_CURRENT, timeout=CHECK_SECONDS)
    return NO_SCHEMA if found is None else Schema(found["version"], found["compatible_from"])


def check_compatible(schema: Schema, version: int) -> None:
    """Raises `Misconfigured` for a schema that left this build's version behind."""
    if schema.version > version < schema.compatible_from:
        raise Misconfigured(
            f"its schema has version {schema.version}, which needs a tirelessd of schema "
            f"{schema.compatible_from} or newer; this one knows up to {version}"
        )


async def bring_up(
    connection: Connection[Record],
    *,
    is_migrating: bool,
    steps: Sequence[Migration] | None = None,
    lock_seconds: float = LOCK_SECONDS,
) -> Sequence[Migration]:
    """Have the schema fit, migrating it if that is wanted; what was applied.

    Another process that migrates is waited for, `lock_seconds` at most for each step. Raises
    `Misconfigured`, or `StoreUnavailable` for a schema that somebody else must migrate, or does.
    """
    steps = migrations() if steps is None else steps
    version = steps[-1].version
    # In transactions throughout, for a pooler may lead each to another session.
    async with connection.transaction(readonly=True):
        schema = await schema_of(connection)
    check_compatible(schema, version)
    applied: list[Migration] = []
    if schema.version < version:
        if not is_migrating:
            raise StoreUnavailable(
                f"its schema has version {schema.version}, and {version} is needed: run "
                "tirelessd migrate"
            )
        applied = [step for step in steps if await apply(connection, step, lock_seconds)]
    async with connection.transaction(readonly=True):
        await check_privileges(connection, timeout_seconds=CHECK_SECONDS)
    return applied


async def apply(
    connection: Connection[Record], step: Migration, lock_seconds: float = LOCK_SECONDS
) -> bool:
    """One migration in one transaction; False when the schema had it already.

    Raises `StoreUnavailable` when another process migrates, or uses a table, for too long.
    """
    async with connection.transaction():
        await connection.execute(
            f"{_PREPARE} SET LOCAL lock_timeout = {max(1, round(lock_seconds * 1000))}"
        )
        await _take_lock(connection, lock_seconds)
        await connection.execute(_HISTORY)
        # Looked at behind the lock: another process may have been here meanwhile.
        schema = await schema_of(connection)
        if schema.version >= step.version:
            return False
        try:
            await connection.execute(step.sql)
        except LockNotAvailableError as error:
            raise StoreUnavailable(
                f"version {step.version} of its schema waits for a table that a long transaction "
                f"has used for {lock_seconds:g} s; nothing was changed",
                "busy",
            ) from error
        await connection.execute(_RECORD, step.version, step.name, step.compatible_from)
    return True


async def _take_lock(connection: Connection[Record], seconds: float) -> None:
    try:
        await connection.execute(_LOCK)
    except LockNotAvailableError as error:
        raise StoreUnavailable(
            f"another process has been migrating its schema for {seconds:g} s; wait for its end, "
            "or find its session in pg_stat_activity",
            "busy",
        ) from error
