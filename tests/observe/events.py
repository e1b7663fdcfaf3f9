"""One event of every class, and what observers need to be made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from tirelessd.core import events
from tirelessd.core.errors import StoreUnavailable
from tirelessd.core.events import Event
from tirelessd.core.outcome import DeadReason, Failure, Outcome, Reason
from tirelessd.core.queue import QueueConfig
from tirelessd.observe.metrics import About, Metrics

PATIENCE_SECONDS = 10.0

BUSY = Failure(Reason.HTTP_429, "429: slow down", 429, 2.0)
BROKEN = Failure(Reason.HTTP_5XX, "500: boom", 500)

EXAMPLES: tuple[Event, ...] = (
    events.IntakeRequestStarted(),
    events.IntakeRequestFinished("accepted", 202, 0.004),
    events.ItemAccepted("work", "item-1", 512, is_handed_off=True),
    events.ItemClaimed("work", "item-1", 1, 0.0, is_handed_off=True),
    events.ClaimFinished("work", 3),
    events.AttemptFinished("work", "item-1", 1, 1, Outcome.RETRY, 0.2, BUSY, 3.5),
    events.ItemSucceeded("work", "item-1", 2, 4.5),
    events.ItemDied("work", "item-1", 5, 60.0, DeadReason.MAX_ATTEMPTS, BROKEN),
    events.ItemCancelled("work", "item-1", 1),
    events.ItemsRedriven("work", 7),
    events.DeadItemsPurged("work", 4, "operator"),
    events.LeaseLost("work", "item-1", 1),
    events.LateCompletion("work", "item-1", 1),
    events.LeaseReclaimed("work", "item-1", 1),
    events.UpstreamConnected(0.001, is_reused=False),
    events.UpstreamRequestFinished("models", 200, 0.1),
    events.CanarySucceeded(0.01),
    events.CanaryFailed("claim"),
    events.QueuePaused("work", 60.0),
    events.QueueResumed("work"),
    events.StoreOperationFinished("enqueue", 0.002),
    events.StoreConnectionTaken(0.001),
    events.StoreFailed("disk I/O error", "other"),
    events.StoreHealed(1.5),
    events.ListenerOpened("api", "http://127.0.0.1:8080"),
    events.UnconfiguredItemsFound(3, ["former"]),
    events.LifecycleChanged("running"),
    events.ItemDrained("work", "item-1", "released"),
    events.DrainFinished({"finished": 2, "released": 1, "abandoned": 0}, 1.25),
    events.BackgroundTaskFailed("purge", StoreUnavailable("locked", "busy"), 1),
    events.BackgroundRoundsStarted("purge", 10.0),
    events.BackgroundTaskSucceeded("purge"),
    events.HandlerStuck("work", "item-1"),
    events.ClockDiffers(-86_400.0),
    events.HintsUnheard(),
    events.LoopLagMeasured(0.25),
    events.StartSlow(10.0),
    events.SignalIgnored("SIGHUP"),
    events.TasksLeftBehind(["attempt item-1"]),
    events.TraceExportFailed(512, "the collector took none", is_first=True),
    events.TraceExportHealed(512),
    events.UnexpectedError("somewhere", RuntimeError("a defect")),
)


WORK = QueueConfig("work", handler_type="http", slots=4, capacity_items=100, destination="models")


def event_classes(root: type[Event] = Event) -> Iterator[type[Event]]:
    """Every class of event there is."""
    for kind in root.__subclasses__():
        yield kind
        yield from event_classes(kind)


class ManualClock:
    """A clock that stands still until told otherwise."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.now = 0.0
        self._wall = wall

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self.now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall + self.now


class CountingTally:
    """Counts lines, and lets a test wait for the count."""

    def __init__(self) -> None:
        self.written: dict[str, int] = {}
        self.suppressed = 0
        self._changed = threading.Condition()

    def line_written(self, level: str) -> None:
        """Count a line."""
        with self._changed:
            self.written[level] = self.written.get(level, 0) + 1
            self._changed.notify_all()

    def lines_suppressed(self, count: int) -> None:
        """Count lines that went nowhere."""
        with self._changed:
            self.suppressed += count
            self._changed.notify_all()

    def wait_suppressed(self, count: int) -> None:
        """Return once so many lines went nowhere."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.suppressed >= count, PATIENCE_SECONDS)


def make_metrics(*queues: QueueConfig, **options: Any) -> Metrics:
    """Metrics for the queue `work`, or for those given."""
    options.setdefault("clock", ManualClock())
    options.setdefault("has_canary", True)
    options.setdefault("backend", "sqlite")
    return Metrics(
        queues or (WORK,),
        store_label="main",
        about=About("1.2.3", "abcd", "f00"),
        **options,
    )


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample of the registry; None when there is no such series."""
    metrics.catch_up()
    return metrics.registry.get_sample_value(f"tirelessd_{name}", labels)


def series(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of the registry by its name and labels."""
    metrics.catch_up()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }
