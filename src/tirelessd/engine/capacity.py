"""How many unfinished items each queue holds, and how fast they end.

A place is reserved before the commit and returned when it fails, so that a queue never holds more
than its capacity. The count starts from the store's snapshot. Where others share the store it is
put right by every snapshot, and a queue may hold as much more as they all accept between two.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tirelessd.core.queue import QueueConfig
from tirelessd.store.base import QueueSnapshot

RATE_WINDOW_SECONDS: Final = 30.0
RETRY_AFTER_CAP_SECONDS: Final = 60
FREED_SHARE: Final = 0.01


class Mark(msgspec.Struct, frozen=True):
    """What was known before a snapshot: places held, by queue, and changes ever made to them."""

    held: Mapping[str, int]
    changes: int


class Capacity:
    """Places of all queues; used in the event loop's thread only."""

    def __init__(self, queues: Iterable[QueueConfig]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = {config.name: config.capacity_items for config in queues}
        self._held = dict.fromkeys(self._limits, 0)
        # Places that were counted since the start by what happened here, and how often.
        self._own = dict.fromkeys(self._limits, 0)
        self._changes = 0
        self._reserved = 0
        self._ended: dict[str, deque[tuple[float, int]]] = {name: deque() for name in self._limits}

    def mark(self) -> Mark:
        """To be made before the store begins to count."""
        return Mark(dict(self._own), self._changes)

    def adopt(self, snapshots: Mapping[str, QueueSnapshot], mark: Mark, *, is_shared: bool) -> None:
        """Take over the store's count, which began at that mark.

        Whoever has the store to himself knows better once anything has happened since. Of a shared
        one only the store knows; what happens here while it counts may count twice until the next.
        """
        if not is_shared and (self._changes != mark.changes or self._reserved):
            return
        for name, snapshot in snapshots.items():
            since = self._own[name] - mark.held[name]
            self._held[name] = snapshot.unfinished + since

    def reserve(self, queue: str, places: int) -> int:
        """Take as many of the places as there are; the answer is how many."""
        limit = self._limits[queue]
        granted = places if limit == 0 else max(0, min(places, limit - self._held[queue]))
        self._reserved += granted
        self._change(queue, granted)
        return granted

    def conclude(self, queue: str, places: int, stored: int) -> None:
        """The fate of reserved places is known: so many hold an item now, the others are free."""
        self._reserved -= places
        self._change(queue, stored - places)

    def add(self, queue: str, places: int) -> None:
        """Count items that came without asking: a redrive may exceed the limit."""
        self._change(queue, places)

    def end(self, queue: str, places: int = 1) -> None:
        """Count items that ended: their places are free, and they tell the rate."""
        self._change(queue, -places)
        if queue not in self._held:
            return
        ended, now = self._ended[queue], self._loop.time()
        # One entry a second is enough to tell a rate, and bounds what is kept.
        if ended and now - ended[-1][0] < 1.0:
            ended[-1] = (ended[-1][0], ended[-1][1] + places)
        else:
            ended.append((now, places))
        while now - ended[0][0] > RATE_WINDOW_SECONDS:
            ended.popleft()

    def _change(self, queue: str, places: int) -> None:
        """Items of queues that nobody configured are nobody's."""
        self._changes += 1
        if queue in self._held:
            self._held[queue] += places
            self._own[queue] += places

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
