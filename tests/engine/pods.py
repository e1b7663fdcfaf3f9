"""An engine on a database that others share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from asyncpg import Connection, Record

from tests.clock import ManualClock
from tests.engine.script import FAST_RETRY, Gate, House
from tests.postgres import make_database
from tests.store.still import MIGRATION, StillDatabase, StillPools
from tirelessd.core.clock import SystemClock
from tirelessd.core.queue import QueueConfig
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.postgres.pools import Borrowed, passing
from tirelessd.store.postgres.store import PostgresStore

WORK = QueueConfig("work", slots=2, lease_seconds=0.9, retry=FAST_RETRY)


class RunningPools(StillPools):
    """Connections to a database in which time passes."""

    async def tell_time(self, connection: Connection[Record]) -> None:
        """The database knows."""

    @property
    def carry_hints(self) -> bool:
        """Nothing is in between."""
        return True

    def hints(self) -> Borrowed:
        """A connection of no pool."""
        return passing(PostgresConfig(url=self.url, allows_unsafe_durability=True), self.url)


class RunningDatabase(StillDatabase):
    """A database of one test's own."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    @property
    def url(self) -> str:
        """Where it is."""
        return self._url

    async def open(self) -> None:
        """Its tables are there."""


class Pod(House):
    """An engine on a database that others share."""

    def __init__(self, url: str, poll_seconds: float = 1.0, queue: QueueConfig = WORK) -> None:
        super().__init__(Path(), (queue,))
        self._url = url
        self._poll_seconds = poll_seconds
        self.gates = [Gate() for _ in range(WORK.slots)]

    def make_store(self, clock: SystemClock) -> Any:
        """The shared store."""
        pools = RunningPools(RunningDatabase(self._url), ManualClock())
        store = PostgresStore(pools, clock=clock, emit=self.recorder)
        store.poll_seconds = self._poll_seconds
        return store

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """It runs, and is killed at the end, unless it is dead by then."""
        await self.start()
        try:
            yield
        finally:
            await self.crash()

    async def fill(self) -> None:
        """Every slot is taken, until its gate is opened."""
        for number, gate in enumerate(self.gates):
            self.handlers["work"].script(b"blocker %d" % number, gate)
            await self.submit(b"blocker %d" % number)
            await asyncio.wait_for(gate.reached.wait(), 10)


async def make_url() -> str:
    """A database with the tables in it."""
    url = await make_database()
    connection = await asyncpg.connect(url)
    await connection.execute(MIGRATION)
    await connection.close()
    return url
