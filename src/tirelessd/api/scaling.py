"""What `/scalez` says: how much of this process is busy, and how long the rest would take it.

The same signals as `job:tirelessd_slots_busy_pods:max` and `job:tirelessd_backlog_seconds:max`, for
clusters that have no Prometheus: the queue that wants most decides, and a paused one wants nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from tirelessd.core.item import ShownState
from tirelessd.engine.engine import Status
from tirelessd.engine.pool import PoolReading

# As old as the alert SnapshotStale takes them to be; they come every two seconds.
STALE_SECONDS: Final = 120.0


class QueueDemand(msgspec.Struct, frozen=True):
    """One queue: `backlog_seconds` is how long this process alone would work at what is ready."""

    slots: int
    busy: int
    ready: int
    is_paused: bool
    utilisation: float
    backlog_seconds: float


class Demand(msgspec.Struct, frozen=True):
    """The most that any queue wants, and each of them."""

    utilisation: float
    backlog_seconds: float
    queues: Mapping[str, QueueDemand]


def demand(status: Status, now: float) -> Demand | None:
    """What is wanted of this process; None where the last counts are missing or old.

    `now` is in host epoch seconds. A process without slots wants nothing.
    """
    taken = status.snapshot
    if taken is None or now - taken.taken_at > STALE_SECONDS:
        return None
    counts = taken.snapshot.queues
    queues = {
        name: queue_demand(pool, counts[name].counts.get(ShownState.READY, 0))
        for name, pool in status.pools.items()
        if pool.slots and name in counts
    }
    return Demand(
        max((queue.utilisation for queue in queues.values()), default=0.0),
        max((queue.backlog_seconds for queue in queues.values()), default=0.0),
        queues,
    )


def queue_demand(pool: PoolReading, ready: int) -> QueueDemand:
    """What one queue wants of its pool; one that is paused can do nothing with more slots."""
    backlog_seconds = 0.0 if pool.is_paused else ready * pool.mean_attempt_seconds / pool.slots
    return QueueDemand(
        slots=pool.slots,
        busy=pool.busy,
        ready=ready,
        is_paused=pool.is_paused,
        utilisation=pool.busy / pool.slots,
        backlog_seconds=backlog_seconds,
    )
