"""Every metric family by name, help and labels, grouped as METRICS.md shows them.

Names are API: renaming one means a new `SCHEMA`, and one release with both. Seconds and bytes
everywhere; `_total` on counters alone; no label for the pod, which Prometheus adds by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry

from tirelessd.core.buckets import Buckets
from tirelessd.observe.canary_metrics import CanaryFamilies
from tirelessd.observe.registrar import Registrar
from tirelessd.observe.slo_metrics import SloFamilies
from tirelessd.observe.upstream_metrics import UpstreamFamilies

SCHEMA: Final = "1"


class IntakeFamilies:
    """Requests that hand items in, and the items that came of them."""

    def __init__(self, make: Registrar, buckets: Buckets) -> None:
        self.requests = make.counter(
            "tirelessd_intake_requests_total",
            "Submit requests by what became of them, counted at their end.",
            "result",
        )
        self.duration = make.histogram(
            "tirelessd_intake_request_duration_seconds",
            "Duration of submit requests, the durable commit included.",
            buckets.http,
            "class",
        )
        self.in_flight = make.gauge(
            "tirelessd_intake_requests_in_flight", "Submit requests not answered yet."
        )
        self.accepted = make.counter(
            "tirelessd_items_accepted_total",
            "Items stored durably; every line of a batch counts.",
            "queue",
        )
        self.size = make.histogram(
            "tirelessd_item_size_bytes", "Payload size of accepted items.", buckets.size, "queue"
        )


class QueueStateFamilies:
    """What the store holds, counted from the store by the cached snapshot."""

    def __init__(self, make: Registrar) -> None:
        self.items = make.gauge(
            "tirelessd_queue_items",
            "Items per state in the store; the same from every pod of one store, so take the max.",
            *("store", "queue", "state"),
        )
        self.ready_age = make.gauge(
            "tirelessd_queue_ready_age_seconds",
            "How long the longest-due claimable item has been due; 0 when none is.",
            *("store", "queue"),
        )
        self.item_age = make.gauge(
            "tirelessd_queue_item_age_seconds",
            "Age since acceptance of the oldest item per state; 0 when there is none.",
            *("store", "queue", "state"),
        )
        self.capacity = make.gauge(
            "tirelessd_queue_capacity_items",
            "How many unfinished items the queue may hold; 0 means unlimited.",
            "queue",
        )
        self.paused = make.gauge(
            "tirelessd_queue_paused", "1 while an operator has the queue paused.", "queue"
        )
        self.snapshot_at = make.gauge(
            "tirelessd_queue_snapshot_timestamp_seconds",
            "When the values counted from the store were read; 0 before the first time.",
            "store",
        )
        self.snapshot_duration = make.gauge(
            "tirelessd_queue_snapshot_duration_seconds",
            "How long the last reading of those values took.",
            "store",
        )


class AttemptFamilies:
    """Attempts, and what items came to through them."""

    def __init__(self, make: Registrar, buckets: Buckets) -> None:
        self._attempts(make, buckets)
        self._items(make, buckets)

    def _attempts(self, make: Registrar, buckets: Buckets) -> None:
        self.attempts = make.counter(
            "tirelessd_attempts_total",
            "Attempts whose settlement held, by outcome and the reason of the failure.",
            *("queue", "outcome", "reason"),
        )
        self.duration = make.histogram(
            "tirelessd_attempt_duration_seconds",
            "Duration of one attempt; released ones are left out.",
            buckets.attempt,
            *("queue", "outcome"),
        )
        self.wait = make.histogram(
            "tirelessd_item_wait_seconds",
            "From due to claimed, per attempt: backoff and delay are not in it.",
            buckets.wait,
            *("queue", "phase"),
        )
        self.throttled = make.counter(
            "tirelessd_throttled_total",
            "Attempts put off because the other side asked for it.",
            *("queue", "source"),
        )

    def _items(self, make: Registrar, buckets: Buckets) -> None:
        self.end_to_end = make.histogram(
            "tirelessd_item_end_to_end_seconds",
            "From acceptance to the item's end.",
            buckets.end_to_end,
            *("queue", "outcome"),
        )
        self.item_attempts = make.histogram(
            "tirelessd_item_attempts",
            "Attempts an item had used when it ended, since acceptance or its last redrive.",
            buckets.count,
            *("queue", "outcome"),
        )
        self.completed = make.counter(
            "tirelessd_items_completed_total",
            "Items that ended, and whether it took more than one attempt.",
            *("queue", "outcome", "retried"),
        )
        self.dead = make.counter(
            "tirelessd_items_dead_total", "Items given up, by cause.", "queue", "reason"
        )
        self.redriven = make.counter(
            "tirelessd_dead_items_redriven_total", "Dead letters put back by operators.", "queue"
        )
        self.purged = make.counter(
            "tirelessd_dead_items_purged_total",
            "Dead letters deleted, by their age or by an operator.",
            *("queue", "source"),
        )


class WorkerFamilies:
    """Slots, claims and leases of this process."""

    def __init__(self, make: Registrar, buckets: Buckets) -> None:
        self._slots(make)
        self._claims(make, buckets)

    def _slots(self, make: Registrar) -> None:
        self.slots = make.gauge("tirelessd_slots", "Slots configured in this process.", "queue")
        self.busy = make.gauge("tirelessd_slots_busy", "Slots that hold an item.", "queue")
        self.stuck = make.gauge(
            "tirelessd_slots_stuck",
            "Slots whose attempt is settled, but whose handler does not end.",
            "queue",
        )
        self.timeout = make.gauge(
            "tirelessd_attempt_timeout_seconds", "The configured limit of one attempt.", "queue"
        )
        self.unfinished = make.gauge(
            "tirelessd_attempts_unfinished_seconds",
            "Time spent so far in attempts that have not ended, added up.",
            "queue",
        )
        self.longest = make.gauge(
            "tirelessd_attempt_longest_running_seconds",
            "How long the longest attempt that has not ended has run; 0 when none does.",
            "queue",
        )
        self.progress_at = make.gauge(
            "tirelessd_queue_last_progress_timestamp_seconds",
            "When an attempt was last settled here; 0 for never.",
            "queue",
        )
        self.claim_at = make.gauge(
            "tirelessd_queue_last_claim_timestamp_seconds",
            "When the store last answered a claim; 0 for never.",
            "queue",
        )

    def _claims(self, make: Registrar, buckets: Buckets) -> None:
        self.claims = make.counter(
            "tirelessd_claims_total", "Claims asked of the store, by answer.", "queue", "result"
        )
        self.claim_items = make.histogram(
            "tirelessd_claim_batch_items", "Items per claim that found any.", buckets.batch, "queue"
        )
        self.leases_expired = make.counter(
            "tirelessd_leases_expired_total", "Expired leases taken over.", "queue"
        )
        self.renewal_failures = make.counter(
            "tirelessd_lease_renewal_failures_total",
            "Renewals refused because the item belonged to someone else by then.",
            "queue",
        )
        self.late = make.counter(
            "tirelessd_late_completions_total",
            "Settlements refused because the lease was lost: the item may have been done twice.",
            "queue",
        )


class StoreFamilies:
    """The store as its callers meet it."""

    def __init__(self, make: Registrar, buckets: Buckets) -> None:
        self.duration = make.histogram(
            "tirelessd_store_operation_duration_seconds",
            "Duration of store verbs, waiting for the commit included.",
            buckets.store,
            *("backend", "operation"),
        )
        self.errors = make.counter(
            "tirelessd_store_errors_total",
            "Store verbs that failed, by kind.",
            *("backend", "operation", "kind"),
        )
        self.up = make.gauge(
            "tirelessd_store_up", "1 while the last write to the store went well.", "store"
        )
        self.size = make.gauge(
            "tirelessd_store_size_bytes", "Size of the store's data on disk.", "store"
        )
        self.free = make.gauge(
            "tirelessd_store_free_bytes", "Room left where the store's data lies.", "store"
        )
        self.log = make.gauge(
            "tirelessd_store_wal_bytes", "Size of the store's write-ahead log.", "store"
        )
        self.dead_rows = make.gauge(
            "tirelessd_store_dead_rows",
            "Rows of items that are gone and still in the way of searches; an embedded store has "
            "none.",
            "store",
        )
        self.oldest_transaction = make.gauge(
            "tirelessd_store_oldest_transaction_seconds",
            "Age of the oldest transaction in the store's database, which keeps dead rows from "
            "being cleared away; an embedded store has none.",
            "store",
        )
        self.skew = make.gauge(
            "tirelessd_clock_skew_seconds",
            "How far this host's clock is ahead of the store's time; after a clock was set, the "
            "embedded store works the difference off.",
        )
        self.pool = make.gauge(
            "tirelessd_store_pool_connections",
            "Connections to the store; an embedded one has none.",
            "state",
        )
        self.pool_most = make.gauge(
            "tirelessd_store_pool_max_connections",
            "The most of them there may be.",
        )
        self.pool_wait = make.histogram(
            "tirelessd_store_pool_wait_seconds",
            "How long a connection to the store took to come by, making one included.",
            buckets.store,
        )


class DaemonFamilies:
    """The process: its life, its background loops, and telemetry about telemetry."""

    def __init__(self, make: Registrar, buckets: Buckets) -> None:
        self._life(make)
        self._telemetry(make)
        self.loop_lag = make.histogram(
            "tirelessd_event_loop_lag_seconds",
            "How late the event loop came to a timer, four times a second.",
            buckets.loop,
        )

        self.tasks = make.gauge(
            "tirelessd_asyncio_tasks",
            "Tasks of the event loop: background loops, slots, handlers at work, connections of "
            "callers, and all others.",
            "kind",
        )

    def _life(self, make: Registrar) -> None:
        self.lifecycle = make.gauge(
            "tirelessd_lifecycle_state", "1 for the state the daemon is in, 0 for others.", "state"
        )
        self.ready = make.gauge("tirelessd_ready", "1 while /readyz answers 200.")
        self.drained = make.counter(
            "tirelessd_drain_items_total",
            "What became of the items that were leased when a drain began.",
            "result",
        )
        self.task_success_at = make.gauge(
            "tirelessd_background_task_last_success_timestamp_seconds",
            "When a background task last finished a round; 0 for never.",
            "task",
        )
        self.task_interval = make.gauge(
            "tirelessd_background_task_interval_seconds",
            "How often a background task's round is due; 0 until there is the task.",
            "task",
        )
        self.task_failures = make.counter(
            "tirelessd_background_task_failures_total",
            "Failures of background tasks, each followed by a restart.",
            "task",
        )

    def _telemetry(self, make: Registrar) -> None:
        self.unhandled = make.counter(
            "tirelessd_unhandled_exceptions_total", "Errors that no rule foresees: defects."
        )
        self.log_lines = make.counter(
            "tirelessd_log_messages_total", "Log lines written, by level.", "level"
        )
        self.log_suppressed = make.counter(
            "tirelessd_log_messages_suppressed_total",
            "Log lines not written: sampled away, or standard error took no more.",
        )
        self.trace_failures = make.counter(
            "tirelessd_trace_export_failures_total",
            "Exports of spans that failed, or that found some lost for want of room.",
        )
        self.overflow = make.counter(
            "tirelessd_metric_label_overflow_total",
            "Values outside a label's closed set: defects, counted under one word instead.",
            *("metric", "label"),
        )


class InfoFamilies:
    """Who runs here, so that a mixed fleet or a renamed metric can be seen."""

    def __init__(self, make: Registrar) -> None:
        self.build = make.info("tirelessd_build", "The version that runs.")
        self.config = make.info("tirelessd_config", "The hash of the configuration.")
        self.schema = make.info("tirelessd_metrics_schema", "The version of these names.")


class Families:
    """All of them, in one registry."""

    def __init__(self, registry: CollectorRegistry, buckets: Buckets) -> None:
        make = Registrar(registry)
        self.intake = IntakeFamilies(make, buckets)
        self.state = QueueStateFamilies(make)
        self.attempts = AttemptFamilies(make, buckets)
        self.slo = SloFamilies(make)
        self.workers = WorkerFamilies(make, buckets)
        self.upstream = UpstreamFamilies(make, buckets)
        self.store = StoreFamilies(make, buckets)
        self.daemon = DaemonFamilies(make, buckets)
        self.canary = CanaryFamilies(make, buckets)
        self.info = InfoFamilies(make)

    def groups(self) -> Mapping[str, Sequence[str]]:
        """The families' names under the headings of METRICS.md."""
        titles = {
            "Intake": self.intake,
            "Queue state": self.state,
            "Attempts and items": self.attempts,
            "Service levels": self.slo,
            "Workers": self.workers,
            "Upstreams": self.upstream,
            "Store": self.store,
            "Daemon": self.daemon,
            "Canary": self.canary,
            "Info": self.info,
        }
        return {title: names_in(group) for title, group in titles.items()}


def names_in(group: object) -> Sequence[str]:
    """The names of a group's families, without `_total` and `_info`."""
    return [metric.name for family in vars(group).values() for metric in family.describe()]
