"""Leases that have expired, and for how long this process has seen them so.

A database that locks its tables, runs full or comes back after a fail-over expires the leases of
processes that live: they could not renew. They do as soon as they can, and whoever looked first
after it all would have their work done twice. So an expired lease is looked at again before anybody
takes it over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tirelessd.core.clock import Clock

# Looks come every second; what lies between two that are further apart was not seen.
STEP_SECONDS: Final = 2.0


class Overdue:
    """Counts the seconds for which leases were seen expired, by token; a renewal begins anew."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[int, float] = {}
        self._looked_at = clock.monotonic()

    def see(self, tokens: Iterable[int], seconds: float) -> Sequence[int]:
        """Those of the leases that expired now that were seen so for this long."""
        now = self._clock.monotonic()
        passed = min(now - self._looked_at, STEP_SECONDS)
        self._looked_at = now
        self._seen = {
            token: self._seen[token] + passed if token in self._seen else 0.0 for token in tokens
        }
        return [token for token, seen_seconds in self._seen.items() if seen_seconds >= seconds]
