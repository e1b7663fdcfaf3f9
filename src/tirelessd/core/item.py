"""The values an item consists of on its way: as handed in, as claimed, as settled, as shown.

Inside the daemon an instant (`…_at`) is seconds since the Unix epoch by the store's clock; at the
edges, for handlers and in JSON, it becomes an aware UTC datetime. Every value is frozen, so that it
may be shared between tasks and threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from tirelessd.core.clock import instant
from tirelessd.core.trace import UNTRACED, AttemptTrace, TraceContext

PRIORITY_DEFAULT: Final = 4
PRIORITIES: Final = range(10)


class State(StrEnum):
    """What the store holds of an item."""

    QUEUED = "queued"
    LEASED = "leased"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether only a redrive can change it."""
        return self not in (State.QUEUED, State.LEASED)


class ShownState(StrEnum):
    """What people are shown: `queued` split by due time and history, `leased` called running."""

    READY = "ready"
    SCHEDULED = "scheduled"
    RETRYING = "retrying"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"


def shown_state(state: State, *, is_due: bool, attempts: int) -> ShownState:
    """Derive the shown state; `attempts` are those of the current generation."""
    if state is State.LEASED:
        return ShownState.RUNNING
    if state is not State.QUEUED:
        return ShownState(state.value)
    # Ready whether tried before or not: nothing but a slot is missing.
    if is_due:
        return ShownState.READY
    return ShownState.RETRYING if attempts else ShownState.SCHEDULED


class Item(msgspec.Struct, frozen=True):
    """One accepted piece of work, as a handler sees it.

    `payload` is what the caller sent, byte for byte; `headers` holds the allowed request headers,
    names in lower case.
    """

    id: str
    queue: str
    payload: bytes
    content_type: str
    headers: Mapping[str, str]
    priority: int
    accepted_epoch_seconds: float

    @property
    def accepted_at(self) -> datetime:
        """When the item was stored durably."""
        return instant(self.accepted_epoch_seconds)

    def json(self) -> Any:
        """The payload parsed as JSON; raises `ValueError` when it is none."""
        try:
            return msgspec.json.decode(self.payload)
        # A payload may be nested deeper than the interpreter allows; to a handler it is just bad.
        except RecursionError:
            raise ValueError("payload is nested too deeply to be parsed as JSON") from None


class Context(msgspec.Struct, frozen=True):
    """What a handler may know of the attempt that calls it.

    `deadline_seconds` is the time left, at the start of the attempt, until the item expires.
    `logger` carries the item's id, queue and attempt. `traceparent` and `tracestate` are the W3C
    trace context to pass on, or None.
    """

    attempt: int
    max_attempts: int
    deadline_seconds: float
    logger: Any
    trace: AttemptTrace = UNTRACED

    @property
    def traceparent(self) -> str | None:
        """The attempt's place in its trace, as the header has it."""
        context = self.trace.context
        return None if context is None else context.traceparent

    @property
    def tracestate(self) -> str | None:
        """What goes with `traceparent`."""
        context = self.trace.context
        return None if context is None else context.tracestate


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A caller's key, what it stands for, and for how many seconds after acceptance it is kept."""

    text: str
    fingerprint: bytes
    keep_seconds: float


class NewItem(msgspec.Struct, frozen=True):
    """An item as handed in, before the store has accepted it.

    The first attempt is due `delay_seconds` after acceptance, and not before `not_before_at`.
    `deadline_seconds` counts from that due time, in each generation.
    """

    # Chosen here and not by the store: whoever lost the answer to a commit can look for it again.
    id: str
    queue: str
    payload: bytes
    content_type: str
    deadline_seconds: float
    headers: Mapping[str, str] = {}
    priority: int = PRIORITY_DEFAULT
    delay_seconds: float = 0.0
    not_before_at: float | None = None
    key: IdempotencyKey | None = None
    trace: TraceContext | None = None


class Lease(msgspec.Struct, frozen=True):
    """The dated right to one item: whoever holds another token cannot settle it.

    `row` is where the store keeps the item; it means nothing to anyone else.
    """

    item_id: str
    queue: str
    row: int
    # Random and not counted up: a redrive rewinds attempt numbers, so they could come again.
    token: int


class Claim(msgspec.Struct, frozen=True):
    """An item with a fresh lease, and what the policy needs to know of its past.

    All seconds are as of the claim, by the store's clock: `waited_seconds` since this attempt fell
    due, `elapsed_seconds` since the generation's first due time (what deadlines count from),
    `age_seconds` since acceptance. `lost_leases` counts within the generation. `trace` is where the
    item was accepted, `redriven` where it was last put back.
    """

    item: Item
    lease: Lease
    attempt: int
    generation: int
    deadline_seconds: float
    waited_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    age_seconds: float = 0.0
    lost_leases: int = 0
    trace: TraceContext | None = None
    redriven: TraceContext | None = None

    @property
    def remaining_seconds(self) -> float:
        """How long after the claim the item expires."""
        return self.deadline_seconds - self.elapsed_seconds


class AttemptRecord(msgspec.Struct, frozen=True):
    """One failed attempt as the history keeps it; `started_at` is None until it is stored."""

    generation: int
    attempt: int
    reason: str
    status: int | None
    detail: str
    duration_seconds: float
    started_at: float | None = None


class ItemRecord(msgspec.Struct, frozen=True):
    """An item and its failed attempts, read in one snapshot."""

    id: str
    queue: str
    state: State
    shown_state: ShownState
    attempts: int
    generation: int
    priority: int
    content_type: str
    payload_bytes: int
    accepted_at: float
    due_at: float
    deadline_at: float
    finished_at: float | None
    dead_reason: str | None
    last_error: AttemptRecord | None
    # Failed attempts only: a first-try success, the common case, writes no history at all.
    history: Sequence[AttemptRecord] = ()


class Page(msgspec.Struct, frozen=True):
    """A stretch of an ordered list; `next_after` asks for what follows, None at the end."""

    items: Sequence[ItemRecord]
    next_after: str | None


class Selection(msgspec.Struct, frozen=True):
    """Which dead letters an operator means: these ids, or all that match the filter.

    No ids and no filter means every dead letter; the caller has checked that this was asked for.
    """

    ids: Sequence[str] | None = None
    queue: str | None = None
    reason: str | None = None


class Body(msgspec.Struct, frozen=True):
    """Raw bytes with the content type they were stored with."""

    content: bytes
    content_type: str
