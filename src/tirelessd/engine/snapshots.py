"""The store's counts, cached: one snapshot at a time, however many ask."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from tirelessd.core.clock import Clock
from tirelessd.engine.capacity import Capacity, Mark
from tirelessd.engine.supervisor import Supervisor
from tirelessd.store.base import Snapshot, Store
from tirelessd.store.reuse import reusable_seconds

# So old may a count of another process be, and be set against what was known here at the time.
MARKS: Final = 16


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
        self._looked_at = self._counted_at = -math.inf
        self._marks: deque[tuple[float, Mark]] = deque(maxlen=MARKS)
        self.last: TakenSnapshot | None = None

    async def fresh(self) -> TakenSnapshot:
        """A snapshot that knows all that was committed before the call, as far as that is cheap.

        One that took long is used again for a while: see `reusable_seconds`.
        """
        asked_at = self._clock.monotonic()
        while self.last is None or not self._is_good_for(self.last, asked_at):
            if self._running is None or self._running.done():
                self._running = self._supervisor.spawn(self._take(), "snapshot")
            # Shielded: one impatient reader must not end the snapshot that others wait for.
            await asyncio.shield(self._running)
        return self.last

    def _is_good_for(self, taken: TakenSnapshot, asked_at: float) -> bool:
        # Another process may be about to count: then an older one is the best there is.
        is_latest = self._looked_at >= asked_at
        return is_latest or self._counted_at >= asked_at - reusable_seconds(taken.duration_seconds)

    async def _take(self) -> None:
        began_at = self._clock.monotonic()
        self._marks.append((began_at, self._capacity.mark()))
        snapshot = await self._store.snapshot(self._queues)
        took = snapshot.took_seconds
        self.last = TakenSnapshot(
            snapshot,
            self._clock.wall() - snapshot.age_seconds,
            self._clock.monotonic() - began_at if took is None else took,
            self._mark_before(began_at - snapshot.age_seconds),
        )
        self._looked_at, self._counted_at = began_at, began_at - snapshot.age_seconds

    def _mark_before(self, moment: float) -> Mark:
        earlier = [mark for began_at, mark in self._marks if began_at <= moment]
        return earlier[-1] if earlier else self._marks[0][1]
