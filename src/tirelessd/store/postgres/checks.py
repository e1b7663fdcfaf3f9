"""What a server must be before an item is entrusted to it."""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg
from asyncpg import Connection, Record

from tirelessd.core.errors import Misconfigured, StoreUnavailable

# The first with everything that is used here; older ones get no mends any more.
OLDEST_VERSION: Final = 140_000
_FACTS: Final = """
SELECT current_setting('server_version_num')::integer AS version_number,
    current_setting('server_version') AS version,
    current_setting('fsync') = 'on' AS has_fsync,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('server_encoding') AS encoding,
    pg_is_in_recovery() AS is_standby,
    current_setting('transaction_read_only') = 'on' AS is_read_only
"""
TABLES: Final = (
    "items",
    "payloads",
    "results",
    "failures",
    "redrives",
    "idempotency_keys",
    "pauses",
    "commits",
    "identity",
    "snapshots",
    "transfers",
)
_SESSION: Final = "SELECT pg_backend_pid()"
# A statement that was prepared is not there, or one that was not is.
FORGOTTEN: Final = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)
POOLER: Final = (
    "behind a transaction pooler that does not know of prepared statements say "
    "store_postgresql.statement_cache: 0"
)
_UNFINISHED: Final = "SELECT source FROM transfers WHERE finished_at IS NULL"
_FORBIDDEN: Final = """
SELECT each FROM unnest($1::text[]) AS each
WHERE NOT (has_table_privilege(each, 'SELECT') AND has_table_privilege(each, 'INSERT')
    AND has_table_privilege(each, 'UPDATE') AND has_table_privilege(each, 'DELETE'))
ORDER BY each
"""


async def check_server(
    connection: Connection[Record], *, timeout_seconds: float, allows_unsafe_durability: bool
) -> None:
    """Raises `Misconfigured` for a server that must not be used.

    `StoreUnavailable` for one that may be usable later, such as a standby.
    """
    async with asyncio.timeout(timeout_seconds), connection.transaction():
        # Behind a pooler only the statements of one transaction meet one server.
        facts = await connection.fetchrow(_FACTS)
    assert facts is not None
    if facts["version_number"] < OLDEST_VERSION:
        raise Misconfigured(f"PostgreSQL {facts['version']} is too old; use version 14 or newer")
    if facts["encoding"] != "UTF8":
        raise Misconfigured(
            f"the database's encoding is {facts['encoding']}; create it with ENCODING 'UTF8'"
        )
    if not allows_unsafe_durability:
        _check_durability(facts)
    if facts["is_standby"]:
        raise StoreUnavailable("the server is a read-only standby", "connection")
    if facts["is_read_only"]:
        raise StoreUnavailable(
            "the database is read-only (default_transaction_read_only is on)", "connection"
        )


def _check_durability(facts: Record) -> None:
    refused = None
    if not facts["has_fsync"]:
        refused = "fsync is off"
    elif facts["synchronous_commit"] == "off":
        refused = "synchronous_commit is off"
    if refused is not None:
        raise Misconfigured(
            f"{refused} on the server, so that what was accepted could be lost; switch it on, or "
            "say store_postgresql.allow_unsafe_durability: true"
        )


async def check_statements(
    one: Connection[Record], other: Connection[Record], *, timeout_seconds: float
) -> None:
    """Raises `Misconfigured` if a pooler gives a session to each in turn, and forgets statements.

    Finds out nothing where other processes are so busy that the two never meet the same session;
    then the first statement that is missed says the same.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            statement = await one.prepare(_SESSION)
            session = await statement.fetchval()
            async with other.transaction():
                if await other.fetchval(_SESSION) == session:
                    # The session that knows the statement is in use: this meets another one.
                    await statement.fetchval()
    except FORGOTTEN as error:
        raise Misconfigured(f"{error}; {POOLER}") from error
    except TimeoutError:
        # A pooler with a single session makes the one wait for the other, and forgets nothing.
        return


async def check_privileges(connection: Connection[Record], *, timeout_seconds: float) -> None:
    """Raises `Misconfigured` naming a table that the user of the connection may not use."""
    forbidden = await connection.fetchval(_FORBIDDEN, list(TABLES), timeout=timeout_seconds)
    if forbidden is not None:
        raise Misconfigured(
            f"the user must not read or change the table {forbidden}; GRANT SELECT, INSERT, "
            f"UPDATE, DELETE on all tables of the schema to it"
        )


async def check_whole(connection: Connection[Record], *, timeout_seconds: float) -> None:
    """Raises `Misconfigured` for a database into which an embedded store has been moved in part."""
    async with connection.transaction(readonly=True):
        source = await connection.fetchval(_UNFINISHED, timeout=timeout_seconds)
    if source is not None:
        raise Misconfigured(
            f"the embedded store {source} has been moved here in part only: run tirelessd "
            "migrate-store again, which goes on where it stopped"
        )
