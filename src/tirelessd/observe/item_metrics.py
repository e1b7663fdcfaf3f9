"""What the events of items and queues add to the counters and histograms."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, Literal, TypeVar

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
from tirelessd.core.outcome import Failure, Outcome
from tirelessd.core.queue import UNCONFIGURED, QueueConfig
from tirelessd.observe import labels
from tirelessd.observe.closed import ClosedChildren
from tirelessd.observe.dispatch import Table
from tirelessd.observe.exemplars import Exemplars
from tirelessd.observe.families import AttemptFamilies, Families
from tirelessd.observe.journal import Journal
from tirelessd.observe.registrar import TellOverflow
from tirelessd.observe.slo_metrics import QueueSlo

Some = TypeVar("Some")
Key = TypeVar("Key", bound=Hashable)
QUEUE_OF: Final = attrgetter("queue")
ATTEMPT_OF: Final = attrgetter("attempt")
OUTCOME_OF: Final = attrgetter("outcome")
Delivery = Literal["succeeded", "dead"]
OfQueue = TypeVar(
    "OfQueue", ItemAccepted, ItemClaimed, ClaimFinished, AttemptFinished, ItemSucceeded
)


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
        self,
        families: Families,
        queues: Sequence[QueueConfig],
        exemplars: Exemplars,
        journal: Journal,
        tell: TellOverflow,
    ) -> None:
        self._queues = QueuesEvents(families, queues, tell)
        self._exemplars = exemplars
        self._journal = journal

    def foresee_unconfigured(self) -> None:
        """The store holds items of queues that are not configured; may be said again."""
        self._queues.foresee_unconfigured()

    def table(self) -> Table:
        """Which method sees which event: those that every item has by way of the journal."""
        page = self._journal.page
        return {
            ItemAccepted: page(self._items_accepted),
            ItemClaimed: page(self._items_claimed),
            ClaimFinished: page(self._claims_finished),
            AttemptFinished: page(self._attempts_finished),
            ItemSucceeded: page(self._items_succeeded),
            ItemDied: self._item_died,
            ItemCancelled: self._item_cancelled,
            ItemsRedriven: self._items_redriven,
            DeadItemsPurged: self._dead_items_purged,
            LeaseReclaimed: self._lease_reclaimed,
            LeaseLost: self._lease_lost,
            LateCompletion: self._late_completion,
        }

    # --- by way of the journal -----------------------------------------------

    def _by_queue(
        self, events: Sequence[OfQueue]
    ) -> Iterator[tuple[QueueEvents, Sequence[OfQueue]]]:
        for name, group in divided(events, {event.queue for event in events}, QUEUE_OF):
            yield self._queues[name], group

    def _items_accepted(self, events: Sequence[ItemAccepted]) -> None:
        for queue, group in self._by_queue(events):
            queue.accepted.inc(len(group))
            queue.size.observe_all([event.size_bytes for event in group])

    def _items_claimed(self, events: Sequence[ItemClaimed]) -> None:
        for queue, group in self._by_queue(events):
            # Numbers begin anew with a redrive, and so does what its callers call the first wait.
            for attempt, claimed in divided(group, {event.attempt for event in group}, ATTEMPT_OF):
                wait = queue.first_wait if attempt == 1 else queue.retry_wait
                waited = [event.waited_seconds for event in claimed]
                self._exemplars.observe(wait, claimed, waited)

    def _claims_finished(self, events: Sequence[ClaimFinished]) -> None:
        for queue, group in self._by_queue(events):
            found = [event.items for event in group if event.items]
            failed = sum([event.items is None for event in group])
            queue.claims["error"].inc(failed)
            queue.claims["empty"].inc(len(group) - failed - len(found))
            queue.claims["hit"].inc(len(found))
            queue.claim_items.observe_all(found)

    def _attempts_finished(self, events: Sequence[AttemptFinished]) -> None:
        for queue, group in self._by_queue(events):
            outcomes = {event.outcome for event in group}
            for outcome, alike in divided(group, outcomes, OUTCOME_OF):
                self._count_attempts(queue, outcome, alike)

    def _count_attempts(
        self, queue: QueueEvents, outcome: Outcome, events: Sequence[AttemptFinished]
    ) -> None:
        if outcome is Outcome.SUCCESS:
            queue.attempts[outcome][labels.NO_REASON].inc(len(events))
        else:
            self._count_failures(queue, outcome, [event.failure for event in events])
        if outcome is Outcome.RELEASED:
            # A drain decides how long such an attempt runs; that would blur how long work takes.
            return
        took = [event.duration_seconds for event in events]
        self._exemplars.observe(queue.duration[outcome], events, took)
        if queue.slo is not None:
            queue.slo.attempts_settled(events)

    def _count_failures(
        self, queue: QueueEvents, outcome: Outcome, failures: Sequence[Failure | None]
    ) -> None:
        for failure in failures:
            reason = labels.NO_REASON if failure is None else failure.reason
            queue.attempts[outcome][reason].inc()
            is_asked_for = failure is not None and failure.retry_after_seconds is not None
            if is_asked_for and outcome is Outcome.RETRY:
                queue.throttled.inc()

    def _items_succeeded(self, events: Sequence[ItemSucceeded]) -> None:
        for queue, group in self._by_queue(events):
            self._count_ends(queue, "succeeded", group)

    def _count_ends(
        self,
        queue: QueueEvents,
        ending: Delivery,
        events: Sequence[ItemSucceeded] | Sequence[ItemDied],
    ) -> None:
        attempts = [event.attempts for event in events]
        unattempted = attempts.count(0)
        unretried = unattempted + attempts.count(1)
        queue.ends.completed[ending, False].inc(unretried)
        queue.ends.completed[ending, True].inc(len(events) - unretried)
        queue.item_attempts[ending].observe_all(attempts)
        ages = [event.age_seconds for event in events]
        self._exemplars.observe(queue.end_to_end[ending], events, ages)
        if queue.slo is not None:
            queue.slo.items_ended(ages, unattempted, are_successes=ending == "succeeded")

    # --- as they come --------------------------------------------------------

    def _item_died(self, event: ItemDied) -> None:
        queue = self._queues[event.queue]
        queue.ends.dead[event.reason].inc(exemplar=self._exemplars.of(event.trace))
        self._count_ends(queue, "dead", (event,))

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


def divided(
    events: Sequence[Some], kinds: set[Key], kind_of: Callable[[Some], Key]
) -> Iterable[tuple[Key, Sequence[Some]]]:
    """Events by their kind; all of a page are nearly always of one, and go on as they are."""
    if len(kinds) == 1:
        return [(kind, events) for kind in kinds]
    groups: dict[Key, list[Some]] = {kind: [] for kind in kinds}
    for event in events:
        groups[kind_of(event)].append(event)
    return groups.items()
