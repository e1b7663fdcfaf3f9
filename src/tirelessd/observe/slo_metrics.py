"""What was promised of each queue, and how often it held: exact counts, whatever the buckets are.

An item counts once in a generation for each promise. For `wait` it does when its first attempt is
settled, with the time from due to that attempt's claim: an attempt that a drain or a pause handed
back is not counted, and neither is its wait. One that ends without any attempt has waited for
nothing. For `end_to_end` and `success` it counts when it succeeds or dies. So a cancelled item
counts in neither, and in `wait` only where it was attempted before.
"""

from __future__ import annotations

from collections.abc import Sequence

from tirelessd.core.events import AttemptFinished
from tirelessd.core.queue import QueueConfig, Slo
from tirelessd.observe.registrar import Registrar


class SloFamilies:
    """Promises and what became of them."""

    def __init__(self, make: Registrar) -> None:
        self.events = make.counter(
            "tirelessd_slo_events_total",
            "Items that a promise could be kept to, once each: by their first settled attempt for "
            "`wait`, at their end for the others.",
            *("queue", "slo"),
        )
        self.good = make.counter(
            "tirelessd_slo_good_events_total",
            "Those of them to which it was kept.",
            *("queue", "slo"),
        )
        self.objective = make.gauge(
            "tirelessd_slo_objective_ratio",
            "The configured share of items to which the promise should be kept.",
            *("queue", "slo"),
        )
        self.target = make.gauge(
            "tirelessd_slo_target_seconds",
            "The configured time that the promise is about; `success` is about none.",
            *("queue", "slo"),
        )


class Promise:
    """One promise to one queue's items."""

    def __init__(self, families: SloFamilies, queue: str, slo: str) -> None:
        self._events = families.events.labels(queue, slo)
        self._good = families.good.labels(queue, slo)

    def count(self, items: int, kept: int) -> None:
        """So many items, and to how many of them it was kept."""
        self._events.inc(items)
        self._good.inc(kept)


class QueueSlo:
    """The promises of one configured queue."""

    def __init__(self, families: SloFamilies, config: QueueConfig) -> None:
        self._slo: Slo = config.slo
        self._wait = Promise(families, config.name, "wait")
        self._end_to_end = Promise(families, config.name, "end_to_end")
        self._success = Promise(families, config.name, "success")
        for slo in ("wait", "end_to_end", "success"):
            families.objective.labels(config.name, slo).set(config.slo.objective)
        families.target.labels(config.name, "wait").set(config.slo.wait_seconds)
        families.target.labels(config.name, "end_to_end").set(config.slo.end_to_end_seconds)

    def attempts_settled(self, events: Sequence[AttemptFinished]) -> None:
        """Attempts were settled, none of them by being handed back."""
        waits = [event.waited_seconds for event in events if event.attempt == 1]
        self._wait.count(len(waits), kept=len(waits) - over(self._slo.wait_seconds, waits))

    def items_ended(self, ages: Sequence[float], unattempted: int, *, are_successes: bool) -> None:
        """Items of these ages, in seconds, succeeded or died, some without any attempt."""
        late = over(self._slo.end_to_end_seconds, ages)
        self._wait.count(unattempted, kept=0)
        self._end_to_end.count(len(ages), kept=len(ages) - late)
        self._success.count(len(ages), kept=len(ages) if are_successes else 0)


def over(limit: float, values: Sequence[float]) -> int:
    """How many exceed a limit."""
    return len([value for value in values if value > limit])
