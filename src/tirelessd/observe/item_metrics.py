"""What the events of items and queues add to the counters and histograms."""

from __future__ import annotations

from collections.abc import Sequence

from tirelessd.core.clock import Clock
from tirelessd.core.events import (
    AttemptFinished,
    ClaimFinished,
    DeadItemsPurged,
    ItemAccepted,
    ItemCancelled,
    ItemClaimed,
    ItemDied,
    ItemsRedriven,
    ItemSucceeded,
    LateCompletion,
    LeaseLost,
    LeaseReclaimed,
)
from tirelessd.core.outcome import Outcome
from tirelessd.core.queue import UNCONFIGURED, QueueConfig
from tirelessd.observe import labels
from tirelessd.observe.closed import ClosedChildren
from tirelessd.observe.dispatch import Table
from tirelessd.observe.exemplars import Exemplars
from tirelessd.observe.families import AttemptFamilies, Families
from tirelessd.observe.registrar import TellOverflow
from tirelessd.observe.slo_metrics import QueueSlo


class QueueEvents:
    """What events of one queue add to; nothing was promised of one that is not configured."""

    def __init__(
        self, families: Families, queue: str, tell: TellOverflow, config: QueueConfig | None = None
    ) -> None:
        self.slo = QueueSlo(families.slo, config) if config is not None else None
        pairs = labels.legal_pairs(config)
        intake, attempts, workers = families.intake, families.attempts, families.workers
        self.accepted = intake.accepted.labels(queue)
        self.size = intake.size.labels(queue)
        self.attempts = {
            outcome: ClosedChildren(
                attempts.attempts,
                [reason for pair, reason in pairs if pair is outcome],
                tell,
                queue,
                outcome,
            )
            for outcome in Outcome
        }
        self.duration = {
            outcome: attempts.duration.labels(queue, outcome) for outcome in labels.TIMED_OUTCOMES
        }
        first, retry = labels.WAIT_PHASES
        self.first_wait = attempts.wait.labels(queue, first)
        self.retry_wait = attempts.wait.labels(queue, retry)
        (asked,) = labels.THROTTLE_SOURCES
        self.throttled = attempts.throttled.labels(queue, asked)
        self.claims = ClosedChildren(workers.claims, labels.CLAIM_RESULTS, tell, queue)
        self.claim_items = workers.claim_items.labels(queue)
        self.leases_expired = workers.leases_expired.labels(queue)
        self.renewal_failures = workers.renewal_failures.labels(queue)
        self.late = workers.late.labels(queue)
        self.ends = QueueEnds(attempts, queue, tell)
        self.end_to_end = {
            ending: attempts.end_to_end.labels(queue, ending) for ending in labels.DELIVERY_ENDINGS
        }
        self.item_attempts = {
            ending: attempts.item_attempts.labels(queue, ending)
            for ending in labels.DELIVERY_ENDINGS
        }


class QueueEnds:
    """The counts of how items of one queue ended and what became of dead ones.

    They are all that can happen to items of a queue that is no longer configured.
    """

    def __init__(self, attempts: AttemptFamilies, queue: str, tell: TellOverflow) -> None:
        self.completed = {
            (ending, bool(number)): attempts.completed.labels(queue, ending, retried)
            for ending in labels.ENDINGS
            for number, retried in enumerate(labels.RETRIED)
        }
        self.dead = ClosedChildren(attempts.dead, labels.DEAD_REASONS, tell, queue)
        self.redriven = attempts.redriven.labels(queue)
        self.purged = ClosedChildren(attempts.purged, labels.PURGE_SOURCES, tell, queue)


class QueuesEvents(dict[str, QueueEvents]):
    """The configured queues; what happens to any other counts under one word."""

    def __init__(
        self, families: Families, queues: Sequence[QueueConfig], tell: TellOverflow
    ) -> None:
        self._families, self._tell = families, tell
        super().__init__(
            {queue.name: QueueEvents(families, queue.name, tell, queue) for queue in queues}
        )

    def foresee_unconfigured(self) -> None:
        """There are items of other queues, whose ends are to be seen from the first one on.

        They are attempted only where a former process left some leased, so the rest is made when
        that happens.
        """
        QueueEnds(self._families.attempts, UNCONFIGURED, self._tell)

    def __missing__(self, queue: str) -> QueueEvents:
        if UNCONFIGURED not in self:
            self[UNCONFIGURED] = QueueEvents(self._families, UNCONFIGURED, self._tell)
        return self[UNCONFIGURED]


class ItemMetrics:
    """Counts what happens to items."""

    def __init__(
        self, families: Families, queues: Sequence[QueueConfig], clock: Clock, tell: TellOverflow
    ) -> None:
        self._queues = QueuesEvents(families, queues, tell)
        self._exemplar = Exemplars(clock).of

    def foresee_unconfigured(self) -> None:
        """The store holds items of queues that are not configured; may be said again."""
        self._queues.foresee_unconfigured()

    def table(self) -> Table:
        """Which method sees which event."""
        return {
            ItemAccepted: self._item_accepted,
            ItemClaimed: self._item_claimed,
            ClaimFinished: self._claim_finished,
            AttemptFinished: self._attempt_finished,
            ItemSucceeded: self._item_succeeded,
            ItemDied: self._item_died,
            ItemCancelled: self._item_cancelled,
            ItemsRedriven: self._items_redriven,
            DeadItemsPurged: self._dead_items_purged,
            LeaseReclaimed: self._lease_reclaimed,
            LeaseLost: self._lease_lost,
            LateCompletion: self._late_completion,
        }

    def _item_accepted(self, event: ItemAccepted) -> None:
        queue = self._queues[event.queue]
        queue.accepted.inc()
        queue.size.observe(event.size_bytes)

    def _item_claimed(self, event: ItemClaimed) -> None:
        queue = self._queues[event.queue]
        # Numbers begin anew with a redrive, and so does what its callers call the first wait.
        wait = queue.first_wait if event.attempt == 1 else queue.retry_wait
        waited = event.waited_seconds
        wait.observe(waited, self._exemplar(event.trace, waited))

    def _claim_finished(self, event: ClaimFinished) -> None:
        queue = self._queues[event.queue]
        if event.items is None:
            queue.claims["error"].inc()
        elif event.items == 0:
            queue.claims["empty"].inc()
        else:
            queue.claims["hit"].inc()
            queue.claim_items.observe(event.items)

    def _attempt_finished(self, event: AttemptFinished) -> None:
        queue, failure = self._queues[event.queue], event.failure
        reason = failure.reason if failure is not None else labels.NO_REASON
        queue.attempts[event.outcome][reason].inc()
        # A drain decides how long a released attempt runs; that would blur how long work takes.
        if event.outcome is not Outcome.RELEASED:
            took = event.duration_seconds
            queue.duration[event.outcome].observe(took, self._exemplar(event.trace, took))
        if queue.slo is not None:
            queue.slo.attempt_finished(event)
        if (
            event.outcome is Outcome.RETRY
            and failure is not None
            and failure.retry_after_seconds is not None
        ):
            queue.throttled.inc()

    def _item_succeeded(self, event: ItemSucceeded) -> None:
        queue = self._queues[event.queue]
        queue.ends.completed["succeeded", event.attempts > 1].inc()
        age = event.age_seconds
        queue.end_to_end["succeeded"].observe(age, self._exemplar(event.trace, age))
        queue.item_attempts["succeeded"].observe(event.attempts)
        if queue.slo is not None:
            queue.slo.item_ended(event, is_success=True)

    def _item_died(self, event: ItemDied) -> None:
        queue = self._queues[event.queue]
        queue.ends.completed["dead", event.attempts > 1].inc()
        queue.ends.dead[event.reason].inc(exemplar=self._exemplar(event.trace))
        age = event.age_seconds
        queue.end_to_end["dead"].observe(age, self._exemplar(event.trace, age))
        queue.item_attempts["dead"].observe(event.attempts)
        if queue.slo is not None:
            queue.slo.item_ended(event, is_success=False)

    def _item_cancelled(self, event: ItemCancelled) -> None:
        self._queues[event.queue].ends.completed["cancelled", event.attempts > 1].inc()

    def _items_redriven(self, event: ItemsRedriven) -> None:
        self._queues[event.queue].ends.redriven.inc(event.count)

    def _dead_items_purged(self, event: DeadItemsPurged) -> None:
        self._queues[event.queue].ends.purged[event.source].inc(event.count)

    def _lease_reclaimed(self, event: LeaseReclaimed) -> None:
        # The attempt that was lost counts when its settlement holds, like any other.
        self._queues[event.queue].leases_expired.inc()

    def _lease_lost(self, event: LeaseLost) -> None:
        self._queues[event.queue].renewal_failures.inc()

    def _late_completion(self, event: LateCompletion) -> None:
        self._queues[event.queue].late.inc()
