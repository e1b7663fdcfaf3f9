"""Connections to a database in which time stands still, so that the contract is tested exactly."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import asyncpg
from asyncpg import Connection, Record

from tests.clock import ManualClock
from tirelessd.store import postgres

MIGRATION = Path(postgres.__path__[0], "migrations", "0001_first.sql").read_text()
# The store's time is what the connection was last told.
STILL = """
CREATE OR REPLACE FUNCTION tirelessd_now() RETURNS double precision LANGUAGE sql STABLE
RETURN current_setting('tirelessd.now')::double precision
"""
TABLES = (
    "items, payloads, results, failures, redrives, idempotency_keys, pauses, commits, snapshots"
)


class StillDatabase:
    """A database for one test at a time, emptied for each."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._is_empty = False

    async def open(self) -> None:
        """Make its tables, or empty them; only once."""
        if self._is_empty:
            return
        self._is_empty = True
        connection = await asyncpg.connect(self.url)
        try:
            if await connection.fetchval("SELECT to_regclass('items') IS NULL"):
                await connection.execute(MIGRATION)
                await connection.execute(STILL)
            await connection.execute(f"TRUNCATE {TABLES} RESTART IDENTITY")
        finally:
            await connection.close()


class StillPools:
    """Connections that tell the database the time of a clock whenever they are taken."""

    def __init__(self, database: StillDatabase, clock: ManualClock) -> None:
        self._database = database
        self._clock = clock
        self._pool: asyncpg.Pool[Record] | None = None

    async def open(self) -> None:
        """Connect."""
        await self._database.open()
        self._pool = await asyncpg.create_pool(self._database.url, min_size=0, max_size=4)

    async def close(self) -> None:
        """Let go of every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    @asynccontextmanager
    async def intake(self) -> AsyncIterator[Connection[Record]]:
        """A connection at the clock's time."""
        assert self._pool is not None
        async with self._pool.acquire() as connection:
            await connection.execute(f"SET tirelessd.now = {self._clock.wall()!r}")
            # The pool's stand-in for a connection has all of its methods.
            yield cast("Connection[Record]", connection)

    slots = upkeep = reads = intake


def postgres_url() -> str:
    """Where the tests' database is; empty when there is none."""
    return os.environ.get("TIRELESSD_TEST_POSTGRES_URL", "")
