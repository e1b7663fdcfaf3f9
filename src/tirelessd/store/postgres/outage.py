"""Outages of the database: after one, holders of leases renew them before anybody reclaims any."""

from __future__ import annotations

import math

from tirelessd.core.clock import Clock


class Outage:
    """Knows since when the database answers again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_down = False
        self._ended_at = -math.inf

    def told(self, error: Exception | None) -> None:
        """The database was out of reach, or, with None, answered."""
        if error is not None:
            self._is_down = True
        elif self._is_down:
            self._is_down = False
            self._ended_at = self._clock.monotonic()

    def is_recent(self, lease_seconds: float) -> bool:
        """Whether holders of leases of this length may not have had the time to renew them."""
        return self._is_down or self._clock.monotonic() < self._ended_at + lease_seconds
