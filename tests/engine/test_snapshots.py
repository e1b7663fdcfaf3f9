"""Counts are taken once for all who ask, and not more often than they are worth."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.clock import ManualClock
from tests.recorder import Recorder
from tirelessd.core.queue import QueueConfig
from tirelessd.engine.capacity import Capacity
from tirelessd.engine.snapshots import Snapshots
from tirelessd.engine.supervisor import Supervisor
from tirelessd.store.base import Snapshot
from tirelessd.store.reuse import REUSE_CAP_SECONDS, REUSE_FACTOR
from tirelessd.store.sqlite import SqliteStore


class CountingStore(SqliteStore):
    """A real store that counts its snapshots; each takes `cost_seconds` of the manual clock."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        super().__init__(path, clock=clock)
        self.clock = clock
        self.taken = 0
        self.cost_seconds = 0.0

    async def snapshot(self, queues: Sequence[str]) -> Snapshot:
        """As the real one, at a price."""
        self.taken += 1
        answer = await super().snapshot(queues)
        self.clock.advance(self.cost_seconds)
        return answer


async def open_snapshots(path: Path) -> tuple[CountingStore, Snapshots]:
    """A store and its snapshots."""
    clock = ManualClock()
    store = CountingStore(path / "tirelessd.db", clock)
    await store.open()
    capacity = Capacity([QueueConfig("work")])
    return store, Snapshots(store, ["work"], capacity, clock, Supervisor(Recorder()))


async def test_concurrent_readers_share_a_snapshot(tmp_path: Path) -> None:
    """Twenty readers at once cost at most two snapshots: one under way, one for all others."""
    store, snapshots = await open_snapshots(tmp_path)

    await asyncio.gather(*(snapshots.fresh() for _ in range(20)))

    assert store.taken <= 2
    await store.close()


async def test_cheap_snapshot_is_taken_anew(tmp_path: Path) -> None:
    """While counting costs nothing, everybody gets counts of now."""
    store, snapshots = await open_snapshots(tmp_path)
    await snapshots.fresh()
    store.clock.advance(0.001)

    await snapshots.fresh()

    assert store.taken == 2
    await store.close()


async def test_expensive_snapshot_is_used_for_a_while(tmp_path: Path) -> None:
    """A snapshot that took half a second serves for twenty times as long."""
    store, snapshots = await open_snapshots(tmp_path)
    store.cost_seconds = 0.5
    await snapshots.fresh()

    store.clock.advance(0.5 * REUSE_FACTOR - 1)
    await snapshots.fresh()
    assert store.taken == 1
    store.clock.advance(2)
    await snapshots.fresh()

    assert store.taken == 2
    await store.close()


async def test_snapshot_that_hung_once_is_not_believed_for_long(tmp_path: Path) -> None:
    """A disk that hung for twenty seconds must not leave everybody with old counts for minutes."""
    store, snapshots = await open_snapshots(tmp_path)
    store.cost_seconds = 20.0
    await snapshots.fresh()
    store.cost_seconds = 0.0
    store.clock.advance(REUSE_CAP_SECONDS + 1)

    await snapshots.fresh()

    assert store.taken == 2
    await store.close()


async def test_impatient_reader_does_not_end_the_snapshot(tmp_path: Path) -> None:
    """A reader that is cancelled leaves the snapshot to those who still wait."""
    store, snapshots = await open_snapshots(tmp_path)
    impatient = asyncio.get_running_loop().create_task(snapshots.fresh())
    patient = asyncio.get_running_loop().create_task(snapshots.fresh())
    await asyncio.sleep(0)

    impatient.cancel()

    assert (await patient).snapshot.queues["work"].unfinished == 0
    assert impatient.cancelled() or impatient.cancelling()
    await store.close()
