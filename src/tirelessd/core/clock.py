"""The one module that names a clock; every other part is handed one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Protocol

_BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Two readings: one to measure with, one to tell people."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch, as the host believes."""
        ...


class SystemClock:
    """The host's clocks."""

    def monotonic(self) -> float:
        """Seconds since the host was started, time asleep included where the host counts it.

        `CLOCK_MONOTONIC` stands still while a Linux host is suspended; the store's time must not.
        """
        return time.clock_gettime(_BOOT_CLOCK)

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump when an operator or NTP sets it."""
        return time.time()


class SteadyClock:
    """Wall time that neither jumps nor goes back.

    It is the start's wall time, or what an earlier life's has come to, advanced by the monotonic
    clock. A difference to the host's wall clock is worked off at `slew` seconds a second at the
    most, so that a corrected clock is followed without a flood of due items or a freeze.
    """

    def __init__(self, clock: Clock, slew: float = 0.05) -> None:
        self._clock = clock
        self._slew = slew
        self._measured_at = clock.monotonic()
        self._now = clock.wall()

    def go_on_from(self, left_at: float, booted_at: float | None) -> None:
        """Take up the time of an earlier life, which read `left_at` last.

        `booted_at` is what it would have read when the monotonic clock was at 0; None where that
        clock has begun anew since, so that only the wall clock can tell how long ago it was.
        """
        self._measured_at = self._clock.monotonic()
        now = self._clock.wall() if booted_at is None else booted_at + self._measured_at
        self._now = max(now, left_at)

    def ahead_seconds(self) -> float:
        """How far this time is ahead of the host's wall clock."""
        return self.now() - self._clock.wall()

    def now(self) -> float:
        """Seconds since the Unix epoch; each reading is at least the one before."""
        measured_at = self._clock.monotonic()
        passed = measured_at - self._measured_at
        behind = self._clock.wall() - (self._now + passed)
        # Proportional to the time that passed: a rare reader is not slewed less than a busy one.
        most = self._slew * passed
        self._now += passed + max(-most, min(most, behind))
        self._measured_at = measured_at
        return self._now


def instant(epoch_seconds: float) -> datetime:
    """The aware UTC datetime of an epoch reading."""
    return datetime.fromtimestamp(epoch_seconds, UTC)
