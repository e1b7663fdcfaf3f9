"""Connections to a database in which time stands still, so that the contract is tested exactly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import ClassVar, cast

import asyncpg
from asyncpg import Connection, Record

from tests.clock import ManualClock
from tests.postgres import make_database
from tests.store.shelf import Shelf
from tirelessd.store.base import Connections
from tirelessd.store.postgres.migrate import bring_up, migrations
from tirelessd.store.postgres.pools import Borrowed, Pools
from tirelessd.store.postgres.store import PostgresStore

MIGRATION = "".join(step.sql for step in migrations())
# The store's time is what the connection was last told.
STILL = """
CREATE OR REPLACE FUNCTION tirelessd_now() RETURNS double precision LANGUAGE sql STABLE
RETURN current_setting('tirelessd.now')::double precision
"""
TABLES = (
    "items", "payloads", "results", "failures", "redrives", "idempotency_keys", "pauses",
    "commits", "snapshots", "transfers",
)  # fmt: skip
# A handful of rows is sooner deleted than a table is truncated.
EMPTY = "; ".join(f"DELETE FROM {table}" for table in TABLES)  # noqa: S608  (names of ours)


class StillDatabase:
    """The database of this process for one test at a time, emptied for each."""

    _urls: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self._is_empty = False

    @property
    def url(self) -> str:
        """Where it is, once it is open."""
        return self._urls[0]

    async def open(self) -> None:
        """Make its tables, or empty them; only once."""
        if self._is_empty:
            return
        self._is_empty = True
        if not self._urls:
            await self._make()
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(EMPTY)
        finally:
            await connection.close()

    async def _make(self) -> None:
        self._urls.append(await make_database())
        connection = await asyncpg.connect(self.url)
        try:
            await bring_up(connection, is_migrating=True)
            await connection.execute(STILL)
        finally:
            await connection.close()


class StillPools(Pools):
    """Connections that tell the database the time of a clock whenever they are taken."""

    def __init__(self, database: StillDatabase, clock: ManualClock) -> None:
        self._database = database
        self._clock = clock
        self._pool: asyncpg.Pool[Record] | None = None
        self.is_out_of_reach = False

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """Meanwhile nobody gets a connection."""
        self.is_out_of_reach = True
        try:
            yield
        finally:
            self.is_out_of_reach = False

    async def open(self) -> None:
        """Connect."""
        await self._database.open()
        self._pool = await asyncpg.create_pool(self._database.url, min_size=0, max_size=4)

    @property
    def url(self) -> str:
        """Where the database is, once it is open."""
        return self._database.url

    async def close(self) -> None:
        """Let go of every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def tell_time(self, connection: Connection[Record]) -> None:
        """Bring a connection to the clock's time."""
        await connection.execute(f"SET tirelessd.now = {self._clock.wall()!r}")

    @property
    def carry_hints(self) -> bool:
        """There is nobody else, or tests tell when he looks."""
        return False

    def hints(self) -> Borrowed:
        """Nobody asks."""
        raise AssertionError

    def connections(self) -> Connections:
        """None that are counted."""
        return Connections(used=0, idle=0, most=4)

    @asynccontextmanager
    async def intake(self) -> AsyncIterator[Connection[Record]]:
        """A connection at the clock's time."""
        assert self._pool is not None
        if self.is_out_of_reach:
            raise ConnectionRefusedError
        async with self._pool.acquire() as acquired:
            # The pool's stand-in for a connection has all of its methods.
            connection = cast("Connection[Record]", acquired)
            await self.tell_time(connection)
            yield connection

    slots = upkeep = reads = intake


@asynccontextmanager
async def open_shelf(pools: StillPools) -> AsyncIterator[Shelf]:
    """An open, empty store on these connections."""
    shelf = Shelf(lambda clock: PostgresStore(pools, clock=clock))
    await shelf.store.open()
    # The first commit of a lane makes its mark, which takes time; the others go on from it.
    await shelf.store.probe()
    try:
        yield shelf
    finally:
        await shelf.store.close()
