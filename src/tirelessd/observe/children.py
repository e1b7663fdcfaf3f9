"""Children of families, looked up once: what happens then costs an increment, not a search."""

from __future__ import annotations

import math
from collections.abc import Iterable

from prometheus_client import Gauge

from tirelessd.core.item import ShownState
from tirelessd.core.queue import UNCONFIGURED, QueueConfig
from tirelessd.observe import labels
from tirelessd.observe.families import Families
from tirelessd.observe.readings import PoolReading, QueueCounts, StoreReading


class QueueGauges:
    """What is set for one configured queue from its pool and its configuration."""

    def __init__(self, families: Families, config: QueueConfig) -> None:
        workers, state, queue = families.workers, families.state, config.name
        self.slots = workers.slots.labels(queue)
        self.busy = workers.busy.labels(queue)
        self.stuck = workers.stuck.labels(queue)
        self.unfinished = workers.unfinished.labels(queue)
        self.longest = workers.longest.labels(queue)
        self.progress_at = workers.progress_at.labels(queue)
        self.claim_at = workers.claim_at.labels(queue)
        self.paused = state.paused.labels(queue)
        self.slots.set(config.slots)
        state.capacity.labels(queue).set(config.capacity_items)
        workers.timeout.labels(queue).set(config.attempt_timeout_seconds)

    def see(self, pool: PoolReading) -> None:
        """Set everything to what was read."""
        self.slots.set(pool.slots)
        self.busy.set(pool.busy)
        self.stuck.set(pool.stuck)
        self.paused.set(pool.is_paused)
        self.unfinished.set(pool.unfinished_seconds)
        self.longest.set(pool.longest_running_seconds)
        self.progress_at.set(pool.last_progress_at)
        self.claim_at.set(pool.last_claim_at)


class StoreGauges:
    """What is set from the store's snapshot; all queues of a reading appear together."""

    def __init__(self, families: Families, store: str, queues: Iterable[str]) -> None:
        self._families, self._label = families, store
        self._queues = {queue: StateGauges(families, store, queue) for queue in queues}
        self.up = families.store.up.labels(store)
        self._at = families.state.snapshot_at.labels(store)
        self._duration = families.state.snapshot_duration.labels(store)
        self._size = families.store.size.labels(store)
        self._free = families.store.free.labels(store)
        self._log = families.store.log.labels(store)
        self._dead_rows = families.store.dead_rows.labels(store)
        self._oldest_transaction = families.store.oldest_transaction.labels(store)
        self._skew = families.store.skew

    def foresee_unconfigured(self) -> None:
        """The store holds items of queues that are not configured; may be said again."""
        if UNCONFIGURED not in self._queues:
            self._queues[UNCONFIGURED] = StateGauges(self._families, self._label, UNCONFIGURED)

    def see(self, reading: StoreReading, taken_at: float, duration_seconds: float) -> None:
        """Set everything to what was read."""
        for queue, counts in {**reading.queues, UNCONFIGURED: reading.unconfigured}.items():
            # The store is asked for the configured queues; more of them would be more series.
            if queue in self._queues:
                self._queues[queue].see(counts)
        self._size.set(reading.size_bytes)
        self._free.set(number(reading.free_bytes))
        self._log.set(number(reading.log_bytes))
        self._dead_rows.set(number(reading.dead_rows))
        self._oldest_transaction.set(number(reading.oldest_transaction_seconds))
        self._skew.set(-reading.ahead_seconds)
        self._at.set(taken_at)
        self._duration.set(duration_seconds)


def number(read: float | None) -> float:
    """What is not known is no number: a zero would say that the disk is full."""
    return math.nan if read is None else read


class StateGauges:
    """One queue's items and ages in one store."""

    def __init__(self, families: Families, store: str, queue: str) -> None:
        state = families.state
        self._items: dict[ShownState, Gauge] = {
            shown: state.items.labels(store, queue, shown) for shown in labels.QUEUE_STATES
        }
        self._ages: dict[ShownState, Gauge] = {
            shown: state.item_age.labels(store, queue, shown) for shown in labels.QUEUE_STATES
        }
        self._ready_age = state.ready_age.labels(store, queue)

    def see(self, counts: QueueCounts) -> None:
        """Set everything to what was read; a state that is not mentioned has no items."""
        # Every state each time: one that is not mentioned has emptied, and must not keep its count.
        for shown, gauge in self._items.items():
            gauge.set(counts.counts.get(shown, 0))
        for shown, gauge in self._ages.items():
            gauge.set(counts.item_age_seconds.get(shown, 0.0))
        self._ready_age.set(counts.ready_age_seconds)
