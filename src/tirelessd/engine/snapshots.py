"""The store's counts, cached: one snapshot at a time, however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from tirelessd.core.clock import Clock
from tirelessd.engine.supervisor import Supervisor
from tirelessd.store.base import Snapshot, Store


class TakenSnapshot(msgspec.Struct, frozen=True):
    """A snapshot, when it was taken (host epoch seconds) and how long that took."""

    snapshot: Snapshot
    taken_at: float
    duration_seconds: float


class Snapshots:
    """Takes snapshots on demand and keeps the last."""

    def __init__(
        self, store: Store, queues: Sequence[str], clock: Clock, supervisor: Supervisor
    ) -> None:
        self._store = store
        self._queues = queues
        self._clock = clock
        self._supervisor = supervisor
        self._running: asyncio.Task[TakenSnapshot] | None = None
        self.last: TakenSnapshot | None = None

    async def fresh(self, within_seconds: float = 0.0) -> TakenSnapshot:
        """The last snapshot when young enough, else the one being taken, else a new one."""
        last = self.last
        if last is not None and self._clock.wall() - last.taken_at < within_seconds:
            return last
        if self._running is None or self._running.done():
            self._running = self._supervisor.spawn(self._take(), "snapshot")
        return await asyncio.shield(self._running)

    async def _take(self) -> TakenSnapshot:
        started = self._clock.monotonic()
        snapshot = await self._store.snapshot(self._queues)
        duration_seconds = self._clock.monotonic() - started
        self.last = TakenSnapshot(snapshot, self._clock.wall(), duration_seconds)
        return self.last
