"""How many unfinished items each queue holds, and how fast they end.

A place is reserved before the commit and returned when it fails, so that a queue never holds more
than its capacity. The count starts from the store's snapshot.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from tirelessd.core.queue import QueueConfig
from tirelessd.store.base import QueueSnapshot

RATE_WINDOW_SECONDS: Final = 30.0
RETRY_AFTER_CAP_SECONDS: Final = 60
FREED_SHARE: Final = 0.01


class Capacity:
    """Places of all queues; used in the event loop's thread only."""

    def __init__(self, queues: Iterable[QueueConfig]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = {config.name: config.capacity_items for config in queues}
        self._held = dict.fromkeys(self._limits, 0)
        # Counted, so that a snapshot knows whether anything changed while it was taken.
        self.changes = 0
        self._reserved = 0
        self._ended: dict[str, deque[tuple[float, int]]] = {name: deque() for name in self._limits}

    def start_from(self, snapshots: Mapping[str, QueueSnapshot]) -> None:
        """Take over the store's count; nothing may have changed since it began to count."""
        for name, snapshot in snapshots.items():
            self._held[name] = snapshot.unfinished

    def reserve(self, queue: str, places: int) -> int:
        """Take as many of the places as there are; the answer is how many."""
        limit = self._limits[queue]
        granted = places if limit == 0 else max(0, min(places, limit - self._held[queue]))
        self._held[queue] += granted
        self._reserved += granted
        self.changes += 1
        return granted

    def conclude(self, queue: str, places: int, stored: int) -> None:
        """The fate of reserved places is known: so many hold an item now, the others are free."""
        self._held[queue] -= places - stored
        self._reserved -= places
        self.changes += 1

    @property
    def is_settled(self) -> bool:
        """Whether no place is reserved for a commit whose fate is not known yet."""
        return self._reserved == 0

    def add(self, queue: str, places: int) -> None:
        """Count items that came without asking: a redrive may exceed the limit."""
        self.changes += 1
        if queue in self._held:
            self._held[queue] += places

    def end(self, queue: str, places: int = 1) -> None:
        """Count items that ended: their places are free, and they tell the rate."""
        self.changes += 1
        if queue not in self._held:
            return
        self._held[queue] -= places
        ended, now = self._ended[queue], self._loop.time()
        # One entry a second is enough to tell a rate, and bounds what is kept.
        if ended and now - ended[-1][0] < 1.0:
            ended[-1] = (ended[-1][0], ended[-1][1] + places)
        else:
            ended.append((now, places))
        while now - ended[0][0] > RATE_WINDOW_SECONDS:
            ended.popleft()

    def held(self, queue: str) -> int:
        """How many places are taken."""
        return self._held[queue]

    def retry_after_seconds(self, queue: str | None) -> int:
        """When to try again: as long as it takes at the current rate until some places are free."""
        if queue is None or queue not in self._limits:
            return 1
        now = self._loop.time()
        ended = sum(n for at, n in self._ended[queue] if now - at <= RATE_WINDOW_SECONDS)
        if not ended:
            return RETRY_AFTER_CAP_SECONDS if self._is_full(queue) else 1
        # Not the first free place: a crowd would come back for it at once.
        wanted = max(1.0, self._limits[queue] * FREED_SHARE)
        seconds = math.ceil(wanted * RATE_WINDOW_SECONDS / ended)
        return min(seconds, RETRY_AFTER_CAP_SECONDS) if self._is_full(queue) else 1

    def _is_full(self, queue: str) -> bool:
        return 0 < self._limits[queue] <= self._held[queue]
