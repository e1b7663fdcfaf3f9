"""The shared store that is moved to: marked, filled batch by batch, read back, and let go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import msgspec
from asyncpg import Connection, PostgresError, Record
from tenacity import AsyncRetrying, retry_if_exception_type, stop_before_delay, wait_fixed

from tirelessd.core.errors import Misconfigured, StartError
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.postgres.connect import connect
from tirelessd.store.postgres.faults import start_error
from tirelessd.store.postgres.migrate import (
    Schema,
    bring_up,
    check_compatible,
    latest,
    schema_of,
)
from tirelessd.store.transfer.rows import KEYS, OF_ITEMS, PAUSES, TABLES, Batch, Place, Row, Table

# A process that was killed leaves its session for a moment, at most for the statement it was in.
SESSION_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.1
CLOSE_SECONDS: Final = 2.0

# Rows are looked up by what they are known by, whatever a table that was just filled is thought
# to hold; and nobody waits for ever for whoever else is here.
_LIMITS: Final = """
SET LOCAL statement_timeout = '60s';
SET LOCAL lock_timeout = '10s';
SET LOCAL idle_in_transaction_session_timeout = '60s';
SET LOCAL enable_seqscan = off;
SET LOCAL jit = off
"""
# Emptying a large table, and counting one, takes its time.
_PATIENCE: Final = "SET LOCAL statement_timeout = '3600s'"
# Behind a pooler the sessions that others left idle there count as well.
_OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'tirelessd' AND pid <> pg_backend_pid()
"""
_TRANSFER: Final = """
SELECT source, source_mark, last_row, last_queue, last_key, finished_at FROM transfers
"""
_IS_EMPTY: Final = """
SELECT NOT EXISTS (SELECT FROM items) AND NOT EXISTS (SELECT FROM idempotency_keys)
    AND NOT EXISTS (SELECT FROM pauses)
"""
_BEGIN: Final = "INSERT INTO transfers (source, source_mark) VALUES ($1, $2)"
_MAY_COUNT: Final = """
SELECT has_sequence_privilege(pg_get_serial_sequence('items', 'number'), 'UPDATE')
"""
# Moved along only from where this process knows it to be: two of them never write the same.
_ADVANCE: Final = """
UPDATE transfers SET last_row = $4, last_queue = $5, last_key = $6
WHERE last_row = $1 AND last_queue = $2 AND last_key = $3 AND source = $7 AND finished_at IS NULL
RETURNING true
"""
_FINISH: Final = """
UPDATE transfers SET finished_at = now() WHERE source = $1 AND finished_at IS NULL RETURNING true
"""
# The next item accepted comes after all that ever were, purged ones included, as lists show it.
_COUNT_ON: Final = """
SELECT setval(pg_get_serial_sequence('items', 'number'), greatest($1::bigint, 1), $1 > 0)
"""
_KEYS_LIKE: Final = """
SELECT {columns} FROM unnest($1::text[], $2::text[]) AS asked (queue, key)
CROSS JOIN LATERAL (
    SELECT * FROM idempotency_keys AS known
    WHERE known.queue = asked.queue AND known.key = asked.key LIMIT 1
) AS found
"""
_IDS: Final = "SELECT id::text FROM items WHERE id > $1 ORDER BY id LIMIT 1000"
_LEAST_ID: Final = "00000000-0000-0000-0000-000000000000"


class Transfer(msgspec.Struct, frozen=True):
    """What has been moved here: from which store, as of which commit, how far, done when."""

    source: str
    mark: int
    place: Place
    finished_at: datetime | None


class Standing(msgspec.Struct, frozen=True):
    """What a database holds before anything is moved; a transfer's rows do not count as empty."""

    schema: Schema
    transfer: Transfer | None
    is_empty: bool


class Target:
    """One shared store, on one connection; every method raises `StartError` or `StoreError`."""

    def __init__(
        self,
        connection: Connection[Record],
        config: PostgresConfig,
        session_seconds: float = SESSION_SECONDS,
    ) -> None:
        self._connection = connection
        self.place = config.place
        self._session_seconds = session_seconds

    async def bring_up(self) -> None:
        """Have the schema fit."""
        async with _told(self.place):
            await bring_up(self._connection, is_migrating=True)

    async def standing(self) -> Standing:
        """What is there, changing nothing; refuses a schema that is not for this version."""
        async with self._transaction():
            schema = await schema_of(self._connection)
            check_compatible(schema, latest())
            if schema.version < latest():
                return Standing(schema, None, is_empty=schema.version == 0)
            found = await self._connection.fetchrow(_TRANSFER)
            is_empty = await self._connection.fetchval(_IS_EMPTY)
        if found is None:
            return Standing(schema, None, is_empty)
        source, mark, row, queue, key, finished_at = found
        transfer = Transfer(source, mark, Place(row, queue, key), finished_at)
        return Standing(schema, transfer, is_empty)

    async def wait_alone(self) -> None:
        """Return once no other process of ours is here; refuses one that stays."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(InUse),
            wait=wait_fixed(LOOK_SECONDS),
            stop=stop_before_delay(self._session_seconds),
            reraise=True,
        )
        await retrying(self._check_alone)

    async def _check_alone(self) -> None:
        async with self._transaction():
            others = await self._connection.fetchval(_OTHERS)
        if others:
            raise InUse(
                f"PostgreSQL at {self.place}: {others} sessions of tirelessd are open on it; stop "
                "every daemon there first"
            )

    async def begin(self, source: str, mark: int, pauses: Sequence[Row]) -> None:
        """Mark the database, so that no daemon starts on it, and write the pauses."""
        async with self._transaction():
            if not await self._connection.fetchval(_MAY_COUNT):
                raise Misconfigured(
                    "the user must not set the sequence of items.number; GRANT UPDATE on it, or "
                    "move as its owner"
                )
            await self._connection.execute(_BEGIN, source, mark)
            await self._copy(PAUSES, pauses)

    async def empty(self) -> None:
        """Delete whatever was moved here, and the mark."""
        async with self._transaction():
            await self._connection.execute(_PATIENCE)
            for name in (*(table.name for table in TABLES), "transfers"):
                await self._connection.execute(f"DELETE FROM {name}")

    async def put(self, source: str, batch: Batch, before: Place) -> None:
        """Write a batch and the place behind it, in one commit; `before` is the last one's."""
        places = (*_columns_of(before), *_columns_of(batch.place))
        async with self._transaction():
            if not await self._connection.fetchval(_ADVANCE, *places, source):
                raise StartError(
                    f"PostgreSQL at {self.place}: another process moves something there; run this "
                    "again when it has ended"
                )
            for table, rows in batch.rows.items():
                await self._copy(table, rows)

    async def _copy(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            await self._connection.copy_records_to_table(
                table.name, records=rows, columns=table.columns
            )

    async def analyze(self) -> None:
        """Tell the planner what the tables hold by now."""
        async with self._transaction():
            await self._connection.execute(_PATIENCE)
            for table in TABLES:
                await self._connection.execute(f"ANALYZE {table.name}")

    async def rows_like(self, batch: Batch) -> Mapping[Table, Sequence[Row]]:
        """What is stored under the ids and keys of a batch, in every table that it speaks of."""
        found: dict[Table, Sequence[Row]] = {}
        async with self._transaction():
            for table, rows in batch.rows.items():
                if table is KEYS:
                    found[table] = await self._keys_like(rows)
            items = [row[0] for row in batch.rows.get(OF_ITEMS[0], ())]
            for table in OF_ITEMS if items else ():
                sql = f"SELECT {_shown(table)} FROM {table.name} WHERE id = ANY ($1::uuid[])"
                found[table] = _plain(await self._connection.fetch(sql, items))
        return found

    async def _keys_like(self, rows: Sequence[Row]) -> Sequence[Row]:
        asked = [[row[0] for row in rows], [row[1] for row in rows]]
        sql = _KEYS_LIKE.format(columns=_shown(KEYS, "found."))
        return _plain(await self._connection.fetch(sql, *asked))

    async def pauses(self) -> Sequence[Row]:
        """All pauses there are."""
        async with self._transaction():
            return _plain(
                await self._connection.fetch(f"SELECT {_shown(PAUSES)} FROM {PAUSES.name}")
            )

    async def count(self, table: Table) -> int:
        """How many rows a table has."""
        async with self._transaction():
            await self._connection.execute(_PATIENCE)
            return int(await self._connection.fetchval(f"SELECT count(*) FROM {table.name}"))

    async def ids(self) -> AsyncIterator[str]:
        """The ids of all items, a thousand at a time."""
        last = _LEAST_ID
        while True:
            async with self._transaction():
                found = await self._connection.fetch(_IDS, last)
            for (item_id,) in found:
                yield item_id
            if not found:
                return
            last = found[-1][0]

    async def finish(self, source: str, last_row: int) -> None:
        """Take the mark away: from here on the database is a store like any other."""
        async with self._transaction():
            await self._connection.execute(_COUNT_ON, last_row)
            if not await self._connection.fetchval(_FINISH, source):
                raise StartError(f"PostgreSQL at {self.place}: somebody took the mark away")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        async with _told(self.place), self._connection.transaction():
            await self._connection.execute(_LIMITS)
            yield


class InUse(StartError):
    """Somebody else is on the database."""


@asynccontextmanager
async def open_target(
    config: PostgresConfig, session_seconds: float = SESSION_SECONDS
) -> AsyncIterator[Target]:
    """Reach a shared store and see whether its server is one to be trusted with items."""
    async with _told(config.place):
        connection = await connect(config, config.url)
    try:
        yield Target(connection, config, session_seconds)
    finally:
        await _leave(connection)


async def _leave(connection: Connection[Record]) -> None:
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except (PostgresError, OSError, TimeoutError):
        connection.terminate()


@asynccontextmanager
async def _told(place: str) -> AsyncIterator[None]:
    """Errors of the driver and of checks become one line each that names the database."""
    try:
        yield
    except StartError as error:
        raise (start_error(error, place) if isinstance(error, Misconfigured) else error) from error
    except Exception as error:
        raise start_error(error, place) from error


def _columns_of(place: Place) -> tuple[Any, ...]:
    return place.row, place.queue, place.key


def _shown(table: Table, prefix: str = "") -> str:
    """The columns of a table as they stand in a canonical row: ids as text."""
    return ", ".join(
        f"{prefix}{column}::text" if column in {"id", "item_id"} else f"{prefix}{column}"
        for column in table.columns
    )


def _plain(found: Sequence[Record]) -> Sequence[Row]:
    return [tuple(row) for row in found]
