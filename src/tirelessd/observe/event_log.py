"""Events as lines: which event is worth which line, at which level, with which fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tirelessd.core.errors import StoreError
from tirelessd.core.events import (
    AttemptFinished,
    BackgroundRoundsStarted,
    BackgroundTaskFailed,
    BackgroundTaskSucceeded,
    CanaryFailed,
    CanarySucceeded,
    ClaimFinished,
    ClockDiffers,
    DeadItemsPurged,
    DrainFinished,
    Event,
    HandlerStuck,
    HintsUnheard,
    IntakeRequestFinished,
    IntakeRequestStarted,
    ItemAccepted,
    ItemCancelled,
    ItemClaimed,
    ItemDied,
    ItemDrained,
    ItemsRedriven,
    ItemSucceeded,
    LateCompletion,
    LeaseLost,
    LeaseReclaimed,
    LifecycleChanged,
    ListenerOpened,
    LoopLagMeasured,
    QueuePaused,
    QueueResumed,
    SignalIgnored,
    StartSlow,
    StoreConnectionTaken,
    StoreFailed,
    StoreHealed,
    StoreOperationFinished,
    TasksLeftBehind,
    TraceExportFailed,
    TraceExportHealed,
    UnconfiguredItemsFound,
    UnexpectedError,
    UpstreamConnected,
    UpstreamRequestFinished,
)
from tirelessd.core.outcome import Failure, Outcome
from tirelessd.observe import lines
from tirelessd.observe.dispatch import Table
from tirelessd.observe.lines import Level, Line
from tirelessd.observe.logs import Logs

# A failure or two is what retries are for.
WARN_FROM_ATTEMPT: Final = 3

UNLOGGED: Final[Mapping[type[Event], str]] = {
    IntakeRequestStarted: "requests are counted; items have lines",
    IntakeRequestFinished: "as for IntakeRequestStarted; a defect behind one is UnexpectedError",
    ClaimFinished: "claimed items have lines; a store that fails has one",
    StoreOperationFinished: "counted and timed; the store's failing and healing have lines",
    StoreConnectionTaken: "as for StoreOperationFinished",
    CanarySucceeded: "nothing happened; the time of it is a metric",
    UpstreamConnected: "as for UpstreamRequestFinished",
    UpstreamRequestFinished: "a failed attempt has a line, with the answer; the span has the rest",
    LoopLagMeasured: "a histogram; a loop that is blocked is told of by LoopWatch",
    BackgroundRoundsStarted: "a part of the start; how often it comes is a metric",
    BackgroundTaskSucceeded: "nothing happened; the time of it is a metric",
}
"""Events without a line, each with the reason."""


class EventLog:
    """The observer that writes the log."""

    def __init__(self, logs: Logs) -> None:
        self._write = logs.write
        every = self._every_line()
        self.seen = frozenset(every)
        # What no level of the log lets through costs a look-up and nothing more.
        self.table: Table = {
            kind: see
            for kind, (see, *written) in every.items()
            if any(logs.is_written(line) for line in written)
        }

    def __call__(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        see = self.table.get(type(event))
        if see is not None:
            see(event)

    @property
    def written(self) -> frozenset[type[Event]]:
        """The types of event that leave a line at the log's level."""
        return frozenset(self.table)

    def _every_line(self) -> Mapping[type[Event], tuple[Any, *tuple[Line, ...]]]:
        return {
            ItemAccepted: (self._item_accepted, lines.ITEM_ACCEPTED),
            ItemClaimed: (self._item_claimed, lines.ITEM_CLAIMED, lines.ITEM_HANDED_OFF),
            AttemptFinished: (
                self._attempt_finished,
                lines.ATTEMPT_FAILED,
                lines.ATTEMPT_RELEASED,
            ),
            ItemSucceeded: (self._item_succeeded, lines.ITEM_SUCCEEDED),
            ItemDied: (self._item_died, lines.ITEM_DEAD),
            ItemCancelled: (self._item_cancelled, lines.ITEM_CANCELLED),
            ItemsRedriven: (self._items_redriven, lines.ITEMS_REDRIVEN),
            DeadItemsPurged: (self._dead_items_purged, lines.ITEMS_PURGED),
            LeaseLost: (self._lease_lost, lines.LEASE_LOST),
            LeaseReclaimed: (self._lease_reclaimed, lines.LEASE_RECLAIMED),
            LateCompletion: (self._late_completion, lines.LATE_COMPLETION),
            HandlerStuck: (self._handler_stuck, lines.HANDLER_STUCK),
            QueuePaused: (self._queue_paused, lines.QUEUE_PAUSED),
            QueueResumed: (self._queue_resumed, lines.QUEUE_RESUMED),
            StoreFailed: (self._store_failed, lines.STORE_FAILED),
            StoreHealed: (self._store_healed, lines.STORE_HEALED),
            ListenerOpened: (self._listener_opened, lines.LISTENER_OPENED),
            UnconfiguredItemsFound: (self._unconfigured_items, lines.ITEMS_UNCONFIGURED),
            LifecycleChanged: (self._lifecycle_changed, lines.LIFECYCLE_CHANGED),
            ItemDrained: (self._item_drained, lines.ITEM_DRAINED),
            DrainFinished: (self._drain_finished, lines.DRAIN_FINISHED),
            BackgroundTaskFailed: (self._background_failed, lines.BACKGROUND_FAILED),
            CanaryFailed: (self._canary_failed, lines.CANARY_FAILED),
            ClockDiffers: (self._clock_differs, lines.CLOCK_DIFFERS),
            HintsUnheard: (self._hints_unheard, lines.HINTS_UNHEARD),
            StartSlow: (self._start_slow, lines.START_SLOW),
            SignalIgnored: (self._signal_ignored, lines.SIGNAL_IGNORED),
            TasksLeftBehind: (self._tasks_left_behind, lines.TASKS_LEFT),
            TraceExportFailed: (self._trace_export_failed, lines.TRACES_LOST),
            TraceExportHealed: (self._trace_export_healed, lines.TRACES_KEPT),
            UnexpectedError: (self._unexpected_error, lines.ERROR_UNEXPECTED),
        }

    # --- items ---------------------------------------------------------------

    def _item_accepted(self, event: ItemAccepted) -> None:
        self._write(
            lines.ITEM_ACCEPTED,
            queue=event.queue,
            item_id=event.item_id,
            size_bytes=event.size_bytes,
            trace=event.trace,
        )

    def _item_claimed(self, event: ItemClaimed) -> None:
        self._write(
            lines.ITEM_HANDED_OFF if event.is_handed_off else lines.ITEM_CLAIMED,
            queue=event.queue,
            item_id=event.item_id,
            attempt=event.attempt,
            waited_seconds=round(event.waited_seconds, 3),
            trace=event.trace,
        )

    def _attempt_finished(self, event: AttemptFinished) -> None:
        """A success or a give-up ends the item, which has a line of its own."""
        if event.outcome is Outcome.RETRY:
            level: Level = "warning" if event.attempt >= WARN_FROM_ATTEMPT else "info"
            self._write_attempt(lines.ATTEMPT_FAILED, level, event)
        elif event.outcome is Outcome.RELEASED:
            self._write_attempt(lines.ATTEMPT_RELEASED, "info", event)

    def _write_attempt(self, line: Line, level: Level, event: AttemptFinished) -> None:
        retry_in = event.retry_in_seconds
        self._write(
            line,
            level,
            queue=event.queue,
            item_id=event.item_id,
            attempt=event.attempt,
            outcome=event.outcome,
            **failure_fields(event.failure),
            duration_ms=milliseconds(event.duration_seconds),
            retry_in_seconds=round(retry_in, 3) if retry_in is not None else None,
            trace=event.trace,
        )

    def _item_succeeded(self, event: ItemSucceeded) -> None:
        self._write(
            lines.ITEM_SUCCEEDED,
            queue=event.queue,
            item_id=event.item_id,
            attempt=event.attempts,
            outcome=Outcome.SUCCESS,
            age_seconds=round(event.age_seconds, 3),
            trace=event.trace,
        )

    def _item_died(self, event: ItemDied) -> None:
        last = failure_fields(event.failure)
        self._write(
            lines.ITEM_DEAD,
            queue=event.queue,
            item_id=event.item_id,
            attempt=event.attempts,
            outcome=Outcome.GIVE_UP,
            reason=event.reason,
            last_reason=last.get("reason"),
            status=last.get("status"),
            detail=last.get("detail"),
            age_seconds=round(event.age_seconds, 3),
            trace=event.trace,
        )

    def _item_cancelled(self, event: ItemCancelled) -> None:
        self._write(
            lines.ITEM_CANCELLED,
            queue=event.queue,
            item_id=event.item_id,
            attempt=event.attempts,
        )

    def _items_redriven(self, event: ItemsRedriven) -> None:
        self._write(lines.ITEMS_REDRIVEN, queue=event.queue, items=event.count)

    def _dead_items_purged(self, event: DeadItemsPurged) -> None:
        self._write(lines.ITEMS_PURGED, queue=event.queue, items=event.count, source=event.source)

    # --- leases and slots ----------------------------------------------------

    def _lease_lost(self, event: LeaseLost) -> None:
        self._write_lease(lines.LEASE_LOST, event)

    def _lease_reclaimed(self, event: LeaseReclaimed) -> None:
        self._write_lease(lines.LEASE_RECLAIMED, event)

    def _late_completion(self, event: LateCompletion) -> None:
        self._write_lease(lines.LATE_COMPLETION, event)

    def _write_lease(self, line: Line, event: LeaseLost | LeaseReclaimed | LateCompletion) -> None:
        self._write(
            line,
            queue=event.queue,
            item_id=event.item_id,
            attempt=event.attempt,
            trace=event.trace,
        )

    def _handler_stuck(self, event: HandlerStuck) -> None:
        self._write(
            lines.HANDLER_STUCK,
            queue=event.queue,
            item_id=event.item_id,
            trace=event.trace,
        )

    # --- queues, store, daemon -----------------------------------------------

    def _queue_paused(self, event: QueuePaused) -> None:
        self._write(
            lines.QUEUE_PAUSED, queue=event.queue, expires_in_seconds=event.expires_in_seconds
        )

    def _queue_resumed(self, event: QueueResumed) -> None:
        self._write(lines.QUEUE_RESUMED, queue=event.queue)

    def _store_failed(self, event: StoreFailed) -> None:
        self._write(lines.STORE_FAILED, reason=event.kind, detail=event.message)

    def _store_healed(self, event: StoreHealed) -> None:
        self._write(lines.STORE_HEALED, down_seconds=round(event.down_seconds, 3))

    def _listener_opened(self, event: ListenerOpened) -> None:
        self._write(lines.LISTENER_OPENED, listener=event.name, url=event.url)

    def _unconfigured_items(self, event: UnconfiguredItemsFound) -> None:
        self._write(lines.ITEMS_UNCONFIGURED, items=event.count, queues=list(event.queues))

    def _lifecycle_changed(self, event: LifecycleChanged) -> None:
        self._write(lines.LIFECYCLE_CHANGED, state=event.state)

    def _item_drained(self, event: ItemDrained) -> None:
        self._write(
            lines.ITEM_DRAINED,
            "error" if event.result == "abandoned" else "info",
            queue=event.queue,
            item_id=event.item_id,
            reason=event.result,
            trace=event.trace,
        )

    def _drain_finished(self, event: DrainFinished) -> None:
        self._write(
            lines.DRAIN_FINISHED,
            "error" if event.counts.get("abandoned") else "info",
            **{str(result): count for result, count in event.counts.items()},
            duration_ms=milliseconds(event.duration_seconds),
        )

    def _background_failed(self, event: BackgroundTaskFailed) -> None:
        """While the store is down every round fails, which its own line has said already."""
        is_store = isinstance(event.error, StoreError)
        self._write(
            lines.BACKGROUND_FAILED,
            "warning" if is_store else "error",
            task=event.task,
            restarts=event.restarts,
            exc_info=event.error,
        )

    def _canary_failed(self, event: CanaryFailed) -> None:
        self._write(lines.CANARY_FAILED, reason=event.stage)

    def _clock_differs(self, event: ClockDiffers) -> None:
        self._write(lines.CLOCK_DIFFERS, ahead_seconds=round(event.ahead_seconds, 3))

    def _hints_unheard(self, _event: HintsUnheard) -> None:
        self._write(lines.HINTS_UNHEARD)

    def _start_slow(self, event: StartSlow) -> None:
        self._write(lines.START_SLOW, seconds=event.seconds)

    def _signal_ignored(self, event: SignalIgnored) -> None:
        self._write(lines.SIGNAL_IGNORED, signal=event.signal)

    def _tasks_left_behind(self, event: TasksLeftBehind) -> None:
        # One line for all of them; thousands of tasks have names that nobody would read.
        self._write(lines.TASKS_LEFT, tasks=", ".join(event.tasks))

    def _trace_export_failed(self, event: TraceExportFailed) -> None:
        if event.is_first:
            self._write(lines.TRACES_LOST, spans=event.lost, detail=event.reason)

    def _trace_export_healed(self, event: TraceExportHealed) -> None:
        self._write(lines.TRACES_KEPT, spans=event.lost)

    def _unexpected_error(self, event: UnexpectedError) -> None:
        self._write(
            lines.ERROR_UNEXPECTED,
            where=event.where,
            exc_info=event.error,
            trace=event.trace,
        )


def failure_fields(failure: Failure | None) -> dict[str, Any]:
    """What a line says of a failure; nothing without one."""
    if failure is None:
        return {}
    return {"reason": failure.reason, "status": failure.status, "detail": failure.detail}


def milliseconds(seconds: float) -> float:
    """Seconds as log lines have durations: milliseconds, to the microsecond."""
    return round(seconds * 1_000, 3)
