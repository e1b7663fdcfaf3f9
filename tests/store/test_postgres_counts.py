"""Counts of a shared store: where counting takes long, one process does it for all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.clock import ManualClock
from tests.store.shelf import new_item
from tests.store.still import StillDatabase, StillPools
from tirelessd.core.item import ShownState
from tirelessd.store.base import Snapshot
from tirelessd.store.postgres.snapshot import IS_FIRST
from tirelessd.store.postgres.store import PostgresStore
from tirelessd.store.reuse import REUSE_CAP_SECONDS

COUNT_SECONDS = 0.25


class TickingClock(ManualClock):
    """Whatever is measured by it takes `step_seconds`, while the database's time stands still."""

    def __init__(self, step_seconds: float) -> None:
        super().__init__()
        self.step_seconds = step_seconds
        self._ticks = 0.0

    def monotonic(self) -> float:
        """A step later each time."""
        self._ticks += self.step_seconds
        return self._ticks


class Counters:
    """Two processes on one database, for which counting takes so long."""

    def __init__(self, step_seconds: float = COUNT_SECONDS) -> None:
        self.database = StillDatabase()
        self.time = ManualClock()
        self.one, self.two = (
            PostgresStore(StillPools(self.database, self.time), clock=TickingClock(step_seconds))
            for _ in range(2)
        )

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Both are open."""
        await self.one.open()
        await self.two.open()
        try:
            yield
        finally:
            await self.one.close()
            await self.two.close()


def ready(snapshot: Snapshot) -> int:
    """How many items wait."""
    return snapshot.queues["work"].counts[ShownState.READY]


@pytest.fixture
async def slow() -> AsyncIterator[Counters]:
    """Two processes for which counting takes long."""
    counters = Counters()
    async with counters.at_work():
        yield counters


async def test_what_one_has_counted_the_others_read(slow: Counters) -> None:
    """For twenty times as long as it took; then somebody counts anew."""
    await slow.one.enqueue([new_item()])
    counted = await slow.one.snapshot(["work"])
    await slow.one.enqueue([new_item()])
    slow.time.advance(4.0)

    read = await slow.two.snapshot(["work"])
    slow.time.advance(2.0)
    anew = await slow.two.snapshot(["work"])

    assert (ready(counted), ready(read), ready(anew)) == (1, 1, 2)
    assert (counted.age_seconds, read.age_seconds, anew.age_seconds) == (0.0, 4.0, 0.0)
    assert read.took_seconds == counted.took_seconds == COUNT_SECONDS


async def test_whoever_comes_while_another_counts_takes_what_there_is(slow: Counters) -> None:
    """Only one counts at a time, unless it takes him far too long."""
    await slow.one.enqueue([new_item()])
    await slow.one.snapshot(["work"])
    await slow.one.enqueue([new_item()])
    slow.time.advance(2 * REUSE_CAP_SECONDS)

    connection = await asyncpg.connect(slow.database.url)
    async with connection.transaction():
        await connection.fetch(IS_FIRST)
        behind = await slow.two.snapshot(["work"])
        slow.time.advance(2 * REUSE_CAP_SECONDS)
        impatient = await slow.two.snapshot(["work"])
    await connection.close()

    assert (ready(behind), ready(impatient)) == (1, 2)
    assert behind.age_seconds == 2 * REUSE_CAP_SECONDS


async def test_count_from_before_the_clock_was_put_back_is_not_kept(slow: Counters) -> None:
    """Or it would be the latest, and nobody would count again, until the clock has caught up."""
    await slow.one.enqueue([new_item()])
    await slow.one.snapshot(["work"])
    await slow.one.enqueue([new_item()])
    slow.time.jump(-60.0)

    anew = await slow.two.snapshot(["work"])
    await slow.one.enqueue([new_item()])
    read = await slow.one.snapshot(["work"])

    assert [each.queues["work"].unfinished for each in (anew, read)] == [2, 2]
    assert read.age_seconds == 0.0


async def test_each_sees_a_count_with_its_own_queues(slow: Counters) -> None:
    """What one has not configured another may have."""
    await slow.one.enqueue([new_item(), new_item(queue="play")])

    one, two = await slow.one.snapshot(["work", "idle"]), await slow.two.snapshot(["play"])

    assert (ready(one), one.unconfigured.unfinished) == (1, 1)
    assert one.queues["idle"].unfinished == 0
    assert (two.queues["play"].unfinished, two.unconfigured.unfinished) == (1, 1)


async def test_cheap_count_is_kept_for_nobody() -> None:
    """Then everybody counts, and knows of everything."""
    quick = Counters(step_seconds=0.0)

    async with quick.at_work():
        await quick.one.enqueue([new_item()])
        counts = [ready(await quick.one.snapshot(["work"]))]
        await quick.one.enqueue([new_item()])
        counts.append(ready(await quick.two.snapshot(["work"])))

    assert counts == [1, 2]
