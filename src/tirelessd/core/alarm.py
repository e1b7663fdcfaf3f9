"""A timer that makes allowance for a loop that could not look at the clock in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

# So much later than asked an alarm is late: the loop was blocked, or the process stood still.
LATE_SECONDS: Final = 0.1
# What the loop gets then to take in what has come meanwhile; and how often, if that goes on.
GRACE_SECONDS: Final = 0.25
GRACES: Final = 4


class Alarm:
    """Calls back after so many seconds of the running loop, unless it is cancelled before.

    A loop that wakes up from being stopped or blocked sees to its timers first, and only then to
    what lies in its sockets. A time limit that rang at once would call an answer late that came in
    time, and have the work done twice. So one that is noticed late rings `GRACE_SECONDS` after it
    was noticed, or after `GRACES` of these at the latest.
    """

    __slots__ = ("_due_at", "_graces", "_loop", "_ring", "_timer")

    def __init__(self, seconds: float, ring: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._graces = GRACES
        self._set(max(seconds, 0.0))

    def _set(self, seconds: float) -> None:
        self._due_at = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._due_at, self._due)

    def _due(self) -> None:
        is_late = self._loop.time() - self._due_at > LATE_SECONDS
        if is_late and self._graces:
            self._graces -= 1
            self._set(GRACE_SECONDS)
        else:
            self._ring()

    def cancel(self) -> None:
        """Be quiet from now on; idempotent."""
        self._timer.cancel()
