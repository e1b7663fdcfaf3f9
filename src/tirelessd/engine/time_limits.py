"""Time limits of many at once, on one timer: arming one for each costs more than many attempts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from tirelessd.core.alarm import Alarm

Limited = TypeVar("Limited", bound=Hashable)


class TimeLimits(Generic[Limited]):
    """Tells of whatever is still here when its time is up; used in the event loop's thread only.

    The timer is set for the earliest limit there was when it was set, and when it fires for the
    earliest one there is. Where all limits are alike, as in a queue, it fires about once in the
    time of one limit, however many come and go.
    """

    def __init__(self, tell: Callable[[Limited], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._ends_at: dict[Limited, float] = {}
        self._timer: Alarm | None = None
        self._fires_at = math.inf

    def add(self, limited: Limited, seconds: float) -> None:
        """Begin to count; `tell` is called once after so long, unless it was removed before."""
        ends_at = self._ends_at[limited] = self._loop.time() + seconds
        if ends_at < self._fires_at:
            self._set_timer(ends_at)

    def remove(self, limited: Limited) -> None:
        """Count no more; it may be over already."""
        self._ends_at.pop(limited, None)

    def _set_timer(self, fires_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = fires_at
        # An alarm: what was answered while the process stood still is read before anything is over.
        self._timer = Alarm(fires_at - self._loop.time(), self._look)

    def _look(self) -> None:
        # What the timer was set for is over even where the loop's clock rounds a little below.
        now = max(self._loop.time(), self._fires_at)
        self._timer, self._fires_at = None, math.inf
        over = [limited for limited, ends_at in self._ends_at.items() if ends_at <= now]
        for limited in over:
            del self._ends_at[limited]
        if self._ends_at:
            self._set_timer(min(self._ends_at.values()))
        for limited in over:
            self._tell(limited)
