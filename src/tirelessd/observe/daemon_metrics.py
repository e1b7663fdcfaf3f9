"""What the events of intake, store and daemon add to the counters and histograms."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from threading import Lock
from typing import Final

from tirelessd.core.clock import Clock
from tirelessd.core.events import (
    BackgroundRoundsStarted,
    BackgroundTaskFailed,
    BackgroundTaskSucceeded,
    IntakeRequestFinished,
    IntakeRequestStarted,
    ItemDrained,
    LoopLagMeasured,
    StoreConnectionTaken,
    StoreOperationFinished,
    TraceExportFailed,
    UnexpectedError,
)
from tirelessd.observe import labels
from tirelessd.observe.closed import ClosedChildren
from tirelessd.observe.dispatch import Table
from tirelessd.observe.exemplars import Exemplars
from tirelessd.observe.families import DaemonFamilies, IntakeFamilies, StoreFamilies
from tirelessd.observe.journal import Journal
from tirelessd.observe.registrar import TellOverflow
from tirelessd.observe.tallies import Distribution

EMBEDDED: Final = "sqlite"


class IntakeMetrics:
    """Counts submit requests."""

    def __init__(
        self, families: IntakeFamilies, exemplars: Exemplars, journal: Journal, tell: TellOverflow
    ) -> None:
        self._exemplars = exemplars
        self._journal = journal
        self._keep = journal.page(self._count_requests)
        self._results = ClosedChildren(families.requests, labels.INTAKE_RESULTS, tell)
        self._durations = ClosedChildren(families.duration, labels.INTAKE_CLASSES, tell)
        self._in_flight = 0
        # The one gauge that is counted: a request has no other place where it can be read from.
        families.in_flight.set_function(lambda: self._in_flight)

    def table(self) -> Table:
        """Which method sees which event."""
        return {
            IntakeRequestStarted: self._request_started,
            IntakeRequestFinished: self._request_finished,
        }

    def _request_started(self, _event: IntakeRequestStarted) -> None:
        self._in_flight += 1

    def _request_finished(self, event: IntakeRequestFinished) -> None:
        self._in_flight -= 1
        self._keep(event)
        if event.result != "accepted":
            # It came to no store operation, perhaps, and there may be thousands of its kind.
            self._journal.count_full()

    def _count_requests(self, events: Sequence[IntakeRequestFinished]) -> None:
        for result, count in Counter([event.result for event in events]).items():
            self._results[result].inc(count)
        groups: defaultdict[str, list[IntakeRequestFinished]] = defaultdict(list)
        for event in events:
            groups[status_class(event.status)].append(event)
        for word, group in groups.items():
            took = [event.duration_seconds for event in group]
            self._exemplars.observe(self._durations[word], group, took)


def status_class(status: int) -> str:
    """Whose fault an answer was."""
    ok, client_error, server_error = labels.INTAKE_CLASSES
    if status >= 500:
        return server_error
    return client_error if status >= 400 else ok


class StoreMetrics:
    """Counts store verbs."""

    def __init__(
        self, families: StoreFamilies, backend: str, journal: Journal, tell: TellOverflow
    ) -> None:
        self._journal = journal
        self._keep = journal.page(self._count_operations)
        # An embedded store has no connections to wait for, and so no series of that.
        self._waits = None if backend == EMBEDDED else Waits(families.pool_wait.labels(), journal)
        self._durations = ClosedChildren(families.duration, labels.STORE_OPERATIONS, tell, backend)
        kinds = [
            kind
            for kind in labels.STORE_ERROR_KINDS
            if backend != EMBEDDED or kind not in labels.NETWORK_ERROR_KINDS
        ]
        self._errors = {
            operation: ClosedChildren(families.errors, kinds, tell, backend, operation)
            for operation in labels.STORE_OPERATIONS
        }
        # No series before there is a defect.
        self._unknown_operation = ClosedChildren(
            families.errors, (), tell, backend, labels.OVERFLOW
        )

    def table(self) -> Table:
        """Which method sees which event."""
        waits = {} if self._waits is None else self._waits.table()
        return {StoreOperationFinished: self._operation_finished, **waits}

    def _operation_finished(self, event: StoreOperationFinished) -> None:
        self._keep(event)
        # Whatever happens to items comes with a commit, dozens at a time.
        self._journal.count_full()

    def _count_operations(self, events: Sequence[StoreOperationFinished]) -> None:
        took: defaultdict[str, list[float]] = defaultdict(list)
        for event in events:
            operation = labels.STORE_VERBS.get(event.operation, labels.OVERFLOW)
            took[operation].append(event.duration_seconds)
            if event.error_kind is not None:
                self._errors.get(operation, self._unknown_operation)[event.error_kind].inc()
        for operation, seconds in took.items():
            self._durations[operation].observe_all(seconds)


class Waits:
    """Times the waits for a connection to the store."""

    def __init__(self, waits: Distribution, journal: Journal) -> None:
        self._waits = waits
        self._keep = journal.page(self._count)

    def table(self) -> Table:
        """Which method sees which event."""
        return {StoreConnectionTaken: self._keep}

    def _count(self, events: Sequence[StoreConnectionTaken]) -> None:
        self._waits.observe_all([event.wait_seconds for event in events])


class DaemonMetrics:
    """Counts what the daemon does besides items, and the lines of its log."""

    def __init__(
        self, families: DaemonFamilies, clock: Clock, tell: TellOverflow, *, has_canary: bool
    ) -> None:
        self._clock = clock
        rounds = labels.BACKGROUND_ROUNDS + ((labels.CANARY_ROUND,) if has_canary else ())
        self._tasks = {
            task: (families.task_success_at.labels(task), families.task_interval.labels(task))
            for task in rounds
        }
        tasks = (*rounds, *labels.BACKGROUND_LOOPS)
        self._failures = ClosedChildren(families.task_failures, tasks, tell)
        self._drained = ClosedChildren(families.drained, labels.DRAIN_RESULTS, tell)
        self._unhandled = families.unhandled.labels()
        self._trace_failures = families.trace_failures.labels()
        self._loop_lag = families.loop_lag.labels()
        self._log_lines = ClosedChildren(families.log_lines, labels.LOG_LEVELS, tell)
        self._log_suppressed = families.log_suppressed.labels()
        # Handlers in threads log too; a line is rare enough to pay for a lock.
        self._log_lock = Lock()

    def table(self) -> Table:
        """Which method sees which event."""
        return {
            ItemDrained: self._item_drained,
            BackgroundRoundsStarted: self._rounds_started,
            BackgroundTaskSucceeded: self._task_succeeded,
            BackgroundTaskFailed: self._task_failed,
            LoopLagMeasured: self._loop_lag_measured,
            TraceExportFailed: self._trace_export_failed,
            UnexpectedError: self._unexpected_error,
        }

    def _item_drained(self, event: ItemDrained) -> None:
        self._drained[event.result].inc()

    def _rounds_started(self, event: BackgroundRoundsStarted) -> None:
        _, interval = self._tasks[task_kind(event.task)]
        interval.set(event.interval_seconds)

    def _task_succeeded(self, event: BackgroundTaskSucceeded) -> None:
        success_at, _ = self._tasks[task_kind(event.task)]
        success_at.set(self._clock.wall())

    def _task_failed(self, event: BackgroundTaskFailed) -> None:
        self._failures[task_kind(event.task)].inc()

    def _loop_lag_measured(self, event: LoopLagMeasured) -> None:
        self._loop_lag.observe(event.seconds)

    def _trace_export_failed(self, _event: TraceExportFailed) -> None:
        self._trace_failures.inc()

    def _unexpected_error(self, _event: UnexpectedError) -> None:
        self._unhandled.inc()

    def line_written(self, level: str) -> None:
        """A log line went out; may be called from any thread."""
        with self._log_lock:
            self._log_lines[level].inc()

    def lines_suppressed(self, count: int) -> None:
        """Log lines did not go out; may be called from any thread."""
        with self._log_lock:
            self._log_suppressed.inc(count)


def task_kind(task: str) -> str:
    """The first word of a task's name; what follows tells one slot or queue from another."""
    return task.partition(" ")[0]
