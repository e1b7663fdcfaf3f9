"""What became of canaries: the daemon's own items, which count in no other family of items."""

from __future__ import annotations

from tirelessd.core.buckets import Buckets
from tirelessd.core.clock import Clock
from tirelessd.core.events import CanaryFailed, CanarySucceeded
from tirelessd.observe.closed import ClosedChildren
from tirelessd.observe.dispatch import Table
from tirelessd.observe.labels import CANARY_STAGES
from tirelessd.observe.registrar import Registrar, TellOverflow


class CanaryFamilies:
    """The whole way, tried out."""

    def __init__(self, make: Registrar, buckets: Buckets) -> None:
        self.success_at = make.gauge(
            "tirelessd_canary_last_success_timestamp_seconds",
            "When a canary last went the whole way; 0 for never.",
        )
        self.round_trip = make.histogram(
            "tirelessd_canary_round_trip_seconds",
            "How long a canary took, from being handed in to its settlement.",
            buckets.end_to_end,
        )
        self.failures = make.counter(
            "tirelessd_canary_failures_total",
            "Canaries that did not come through in time, by how far they came.",
            "stage",
        )


class CanaryMetrics:
    """Counts canaries, where there are any."""

    def __init__(self, families: CanaryFamilies, clock: Clock, tell: TellOverflow) -> None:
        self._clock = clock
        self._success_at = families.success_at
        self._round_trip = families.round_trip.labels()
        self._failures = ClosedChildren(families.failures, CANARY_STAGES, tell)

    def table(self) -> Table:
        """Which method sees which event."""
        return {CanarySucceeded: self._succeeded, CanaryFailed: self._failed}

    def _succeeded(self, event: CanarySucceeded) -> None:
        self._success_at.set(self._clock.wall())
        self._round_trip.observe(event.round_trip_seconds)

    def _failed(self, event: CanaryFailed) -> None:
        self._failures[event.stage].inc()
