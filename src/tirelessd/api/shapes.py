"""The JSON that goes out, each shape once: the answers and their description are made from these.

Instants are RFC 3339 in UTC, durations float seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tirelessd.core.item import ShownState, State
from tirelessd.core.queue import Retention, RetryPolicy
from tirelessd.engine.desk import WaitingFor

# Written out, because msgspec cannot describe an enum with one word more than it has.
PURGED: Final = "purged"
ReceiptState = Annotated[str, Meta(extra_json_schema={"enum": [*State, PURGED]})]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457). `code` is stable and made for programs, `detail` for people.

    `accepted` stands in every refusal of a submission that is not the caller's fault: false when
    nothing was stored, "unknown" when that could not be learned. `request_id` stands in the log
    beside the error, if the daemon is at fault.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    # Members that do not concern a problem are left out of it, as RFC 9457 has it, not null.
    request_id: str | UnsetType = UNSET
    field: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    item_id: str | UnsetType = UNSET
    accepted: bool | Literal["unknown"] | UnsetType = UNSET


class LineResult(msgspec.Struct, frozen=True):
    """What became of one line of a batch, counted from 1: an item's id, or a problem.

    `replayed` is true when the line's idempotency key already stood for that item.
    """

    line: int
    id: str | UnsetType = UNSET
    replayed: bool | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class BatchProblem(Problem, frozen=True, kw_only=True):
    """A batch of which nothing was accepted, with the problem of each line."""

    results: Sequence[LineResult]


class BatchReceipt(msgspec.Struct, frozen=True):
    """One result for each line that is not blank, in the order of the lines."""

    results: Sequence[LineResult]


class Receipt(msgspec.Struct, frozen=True):
    """The item is stored durably. `state` is "purged" for a replay of an item that is gone."""

    id: str
    queue: str
    state: ReceiptState


class FailedAttempt(msgspec.Struct, frozen=True):
    """One failed attempt; `attempt` counts from 1 in each generation."""

    generation: int
    attempt: int
    reason: str
    status: int | None
    detail: str
    started_at: datetime | None
    duration_seconds: float


class ItemSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An item. `attempts` counts the current generation, `max_attempts` is the policy now."""

    id: str
    queue: str
    state: State
    shown_state: ShownState
    waiting_for: WaitingFor | None
    attempts: int
    max_attempts: int | None
    generation: int
    priority: int
    content_type: str
    payload_bytes: int
    accepted_at: datetime
    due_at: datetime
    deadline_at: datetime
    finished_at: datetime | None
    dead_reason: str | None
    last_error: FailedAttempt | None


class ItemDetail(ItemSummary, frozen=True, kw_only=True):
    """An item with every failed attempt, oldest first."""

    history: Sequence[FailedAttempt]


class ItemList(msgspec.Struct, frozen=True):
    """A page of items; hand `next_after` back as `after` for the next one, null ends the list."""

    items: Sequence[ItemSummary]
    next_after: str | None


class Counts(msgspec.Struct, frozen=True):
    """How many items of a queue are in each shown state."""

    ready: int
    scheduled: int
    retrying: int
    running: int
    succeeded: int
    dead: int
    cancelled: int


class PauseInForce(msgspec.Struct, frozen=True):
    """A queue is paused, for so many more seconds; null means until it is resumed."""

    expires_in_seconds: float | None


class QueuePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says of a queue."""

    handler: str
    lease_seconds: float
    attempt_timeout_seconds: float
    capacity_items: int
    idempotency_seconds: float
    retry: RetryPolicy
    retention: Retention


class QueueDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A queue. `slots` are those of the answering process.

    `ready_age_seconds` is how long the longest-due ready item has been due, 0 without one.
    """

    name: str
    counts: Counts
    ready_age_seconds: float
    slots: int
    slots_busy: int
    slots_stuck: int
    pause: PauseInForce | None
    policy: QueuePolicy


class QueueList(msgspec.Struct, frozen=True):
    """All queues that the caller may see, in the order of configuration."""

    items: Sequence[QueueDetail]
    next_after: None = None


class ChangedCount(msgspec.Struct, frozen=True):
    """How many dead letters the call changed (a dry run: would change), and how many are left."""

    count: int
    remaining: int
