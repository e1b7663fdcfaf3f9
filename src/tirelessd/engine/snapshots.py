"""The store's counts, cached: one snapshot at a time, however many ask."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final

import msgspec

from tirelessd.core.clock import Clock
from tirelessd.engine.capacity import Capacity, Mark
from tirelessd.engine.supervisor import Supervisor
from tirelessd.store.base import Snapshot, Store

REUSE_FACTOR: Final = 20.0
CHEAP_SECONDS: Final = 0.02
# However long one took: a disk that hung once says nothing about the next.
REUSE_CAP_SECONDS: Final = 10.0


class TakenSnapshot(msgspec.Struct, frozen=True):
    """A snapshot, when it was taken (host epoch seconds) and how long that took.

    `mark` is what was known here before.
    """

    snapshot: Snapshot
    taken_at: float
    duration_seconds: float
    mark: Mark


class Snapshots:
    """Takes snapshots on demand and keeps the last."""

    def __init__(
        self,
        store: Store,
        queues: Sequence[str],
        capacity: Capacity,
        clock: Clock,
        supervisor: Supervisor,
    ) -> None:
        self._store = store
        self._queues = queues
        self._capacity = capacity
        self._clock = clock
        self._supervisor = supervisor
        self._running: asyncio.Task[None] | None = None
        self._began_at = -math.inf
        self.last: TakenSnapshot | None = None

    async def fresh(self) -> TakenSnapshot:
        """A snapshot that knows all that was committed before the call, as far as that is cheap.

        One that took long is used again for `REUSE_FACTOR` times as long, but not longer than
        `REUSE_CAP_SECONDS`, so that reading counts never keeps the store busy, however many ask.
        """
        asked_at = self._clock.monotonic()
        while self.last is None or self._began_at < asked_at - self._reusable_seconds():
            if self._running is None or self._running.done():
                self._running = self._supervisor.spawn(self._take(), "snapshot")
            # Shielded: one impatient reader must not end the snapshot that others wait for.
            await asyncio.shield(self._running)
        return self.last

    def _reusable_seconds(self) -> float:
        taken = self.last.duration_seconds if self.last is not None else 0.0
        return min(taken * REUSE_FACTOR, REUSE_CAP_SECONDS) if taken > CHEAP_SECONDS else 0.0

    async def _take(self) -> None:
        mark, began_at = self._capacity.mark(), self._clock.monotonic()
        snapshot = await self._store.snapshot(self._queues)
        duration_seconds = self._clock.monotonic() - began_at
        self.last = TakenSnapshot(snapshot, self._clock.wall(), duration_seconds, mark)
        self._began_at = began_at
