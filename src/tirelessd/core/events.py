"""What happened, as values: everything that metrics, logs and traces are made from.

The engine and the API emit these; `observe` alone turns them into names. An event carries plain
words and numbers, never a payload, a header or a token. `trace` is where in a trace it happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from tirelessd.core.outcome import DeadReason, Failure, Outcome
from tirelessd.core.trace import TraceContext

IntakeResult = Literal[
    "accepted",
    "duplicate",
    "invalid",
    "too_large",
    "unauthorized",
    "rate_limited",
    "queue_full",
    "draining",
    "store_error",
    "internal_error",
]
DrainResult = Literal["finished", "released", "abandoned"]
PurgeSource = Literal["ttl", "operator"]
CanaryStage = Literal["intake", "claim", "deliver"]
LifecycleState = Literal["starting", "running", "draining", "stopping"]


class Event(msgspec.Struct, frozen=True):
    """The root of all events."""


class IntakeRequestStarted(Event, frozen=True):
    """A submit request arrived."""


class IntakeRequestFinished(Event, frozen=True):
    """A submit request was answered, durable commit included."""

    result: IntakeResult
    status: int
    duration_seconds: float
    trace: TraceContext | None = None


class ItemAccepted(Event, frozen=True):
    """An item is durable."""

    queue: str
    item_id: str
    size_bytes: int
    is_handed_off: bool
    trace: TraceContext | None = None


class ItemClaimed(Event, frozen=True):
    """A slot has the item; `waited_seconds` since this attempt fell due."""

    queue: str
    item_id: str
    attempt: int
    waited_seconds: float
    is_handed_off: bool
    trace: TraceContext | None = None


class ClaimFinished(Event, frozen=True):
    """The store was asked for due items; `items` is None when it failed."""

    queue: str
    items: int | None


class AttemptFinished(Event, frozen=True):
    """An attempt ended and its settlement held; `failure` is None after a success.

    `retry_in_seconds` is set when another attempt follows. `waited_seconds` is from when it fell
    due to its claim; of an attempt whose lease was lost, until that was known.
    """

    queue: str
    item_id: str
    attempt: int
    generation: int
    outcome: Outcome
    duration_seconds: float
    failure: Failure | None = None
    retry_in_seconds: float | None = None
    trace: TraceContext | None = None
    waited_seconds: float = 0.0


class ItemSucceeded(Event, frozen=True):
    """An item ended well; `age_seconds` since acceptance."""

    queue: str
    item_id: str
    attempts: int
    age_seconds: float
    trace: TraceContext | None = None


class ItemDied(Event, frozen=True):
    """An item was given up, with the last failure that its history holds."""

    queue: str
    item_id: str
    attempts: int
    age_seconds: float
    reason: DeadReason
    failure: Failure | None
    trace: TraceContext | None = None


class ItemCancelled(Event, frozen=True):
    """A queued item was cancelled by its caller; `attempts` it had so far in its generation."""

    queue: str
    item_id: str
    attempts: int = 0


class ItemsRedriven(Event, frozen=True):
    """An operator put dead letters back."""

    queue: str
    count: int


class DeadItemsPurged(Event, frozen=True):
    """Dead letters were deleted, by their age or by an operator."""

    queue: str
    count: int
    source: PurgeSource


class LeaseLost(Event, frozen=True):
    """A renewal was refused: the item belongs to someone else, its attempt is being cancelled."""

    queue: str
    item_id: str
    attempt: int
    trace: TraceContext | None = None


class LateCompletion(Event, frozen=True):
    """A settlement was refused: the attempt ran, and someone else has the item."""

    queue: str
    item_id: str
    attempt: int
    trace: TraceContext | None = None


class LeaseReclaimed(Event, frozen=True):
    """An expired lease was taken over."""

    queue: str
    item_id: str
    attempt: int
    trace: TraceContext | None = None


class UpstreamConnected(Event, frozen=True):
    """A request to an upstream has a connection, kept or new."""

    waited_seconds: float
    is_reused: bool


class UpstreamRequestFinished(Event, frozen=True):
    """A request to an upstream is over; `status` is None when no answer came."""

    destination: str
    status: int | None
    duration_seconds: float


class CanarySucceeded(Event, frozen=True):
    """An item of the daemon's own went the whole way, from being handed in to its settlement."""

    round_trip_seconds: float


class CanaryFailed(Event, frozen=True):
    """An item of the daemon's own did not come through in time; `stage` is where it stayed."""

    stage: CanaryStage


class QueuePaused(Event, frozen=True):
    """A queue is paused."""

    queue: str
    expires_in_seconds: float | None


class QueueResumed(Event, frozen=True):
    """A queue's pause ended."""

    queue: str


class StoreOperationFinished(Event, frozen=True):
    """A store verb ended; `error_kind` is None when it worked."""

    operation: str
    duration_seconds: float
    error_kind: str | None = None


class StoreConnectionTaken(Event, frozen=True):
    """A connection to the store was taken from its pool, or was not to be had for so long."""

    wait_seconds: float


class StoreFailed(Event, frozen=True):
    """The store stopped working."""

    message: str
    kind: str


class StoreHealed(Event, frozen=True):
    """The store works again."""

    down_seconds: float


class ListenerOpened(Event, frozen=True):
    """A listener takes connections; `url` is where, without credentials."""

    name: Literal["api", "ops"]
    url: str


class UnconfiguredItemsFound(Event, frozen=True):
    """The store holds unfinished or dead items of queues that are not configured here.

    `queues` names the first of them.
    """

    count: int
    queues: Sequence[str]


class LifecycleChanged(Event, frozen=True):
    """The daemon goes from one state to the next."""

    state: LifecycleState


class ItemDrained(Event, frozen=True):
    """What became of an item that was leased when the drain began."""

    queue: str
    item_id: str
    result: DrainResult
    trace: TraceContext | None = None


class DrainFinished(Event, frozen=True):
    """The drain is over, with its count per result."""

    counts: Mapping[DrainResult, int]
    duration_seconds: float


class BackgroundTaskFailed(Event, frozen=True):
    """A background loop failed and will be tried again."""

    task: str
    error: BaseException
    restarts: int


class BackgroundRoundsStarted(Event, frozen=True):
    """A background loop is there, and is to finish a round so often."""

    task: str
    interval_seconds: float


class BackgroundTaskSucceeded(Event, frozen=True):
    """A background loop finished a round."""

    task: str


class HandlerStuck(Event, frozen=True):
    """An attempt is settled, but its handler has not ended: the slot is not free."""

    queue: str
    item_id: str
    trace: TraceContext | None = None


class ClockDiffers(Event, frozen=True):
    """The store's time goes on from its last commit, so far ahead of the host's clock."""

    ahead_seconds: float


class HintsUnheard(Event, frozen=True):
    """Of what is notified through the shared store nothing comes back, not even one's own."""


class LoopLagMeasured(Event, frozen=True):
    """The event loop came so late to a timer."""

    seconds: float


class StartSlow(Event, frozen=True):
    """The start has taken so long, and goes on."""

    seconds: float


class SignalIgnored(Event, frozen=True):
    """A signal came that would have ended another process; `signal` is its name."""

    signal: str


class TasksLeftBehind(Event, frozen=True):
    """At the end of the process something would not end with it; `tasks` are names for people."""

    tasks: Sequence[str]


class TraceExportFailed(Event, frozen=True):
    """Spans were lost, so many; `is_first` since exports last worked."""

    lost: int
    reason: str
    is_first: bool


class TraceExportHealed(Event, frozen=True):
    """Spans are exported again; `lost` meanwhile."""

    lost: int


class UnexpectedError(Event, frozen=True):
    """Something raised that no rule foresees: a defect, logged with its traceback."""

    where: str
    error: BaseException
    trace: TraceContext | None = None


Emit = Callable[[Event], None]
