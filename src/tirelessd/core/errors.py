"""One tree of errors; each says what was wrong, with which value, and what to do.

TirelessdError
├── Rejected              a caller's request is refused; carries a stable code
│   ├── InvalidRequest    400: malformed option, cursor, body …
│   ├── UnknownQueue      404
│   ├── ItemNotFound      404
│   ├── NotCancellable    409: leased or otherwise final
│   ├── NotFinished       409: no result yet
│   ├── NoResult          404
│   ├── KeyConflict       422: the idempotency key stands for another request
│   ├── QueueFull         503
│   └── Draining          503
├── StoreError            the store cannot do its work now; heals by itself
│   ├── StoreUnavailable  nothing of the call happened
│   │   ├── StoreFull         for want of room
│   │   └── UnstorableValue   and to repeat it cannot help
│   └── CommitUnknown     whether it happened could not be learned
│       └── CommitPending     for the disk has not answered yet
├── StartError            the daemon must not start or go on; one line tells why
│   └── Misconfigured         and only another configuration, here or there, can help
└── AttemptError          an attempt failed, in a way its handler understood
    ├── Retry             the handler asks for another attempt
    └── GiveUp            the handler says that no attempt will help
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import ClassVar, Generic, Literal, TypeVar

T = TypeVar("T")


class TirelessdError(Exception):
    """The root of everything raised here on purpose."""


class Rejected(TirelessdError):
    """A request is refused; nothing of it was stored."""

    code: ClassVar[str] = "rejected"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(Rejected):
    """A part of the request is malformed; `field` names it."""

    code = "invalid_request"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class UnknownQueue(Rejected):
    """No queue of that name is configured."""

    code = "unknown_queue"

    def __init__(self, queue: str) -> None:
        super().__init__(f"no queue named {queue!r} is configured")


class ItemNotFound(Rejected):
    """No item of that id is stored; it may have been purged."""

    code = "unknown_item"

    def __init__(self, item_id: str) -> None:
        super().__init__(f"no item {item_id!r} is stored; it may have been purged")


class NotCancellable(Rejected):
    """Only a queued item can be cancelled; `state` tells what it is instead."""

    code = "not_cancellable"

    def __init__(self, item_id: str, state: str) -> None:
        super().__init__(f"item {item_id} is {state}; only a queued item can be cancelled")
        self.state = state


class NotFinished(Rejected):
    """A result was asked for before the item's end."""

    code = "not_finished"

    def __init__(self, item_id: str, state: str) -> None:
        super().__init__(f"item {item_id} is {state}; it has no result before it has ended")
        self.state = state


class NoResult(Rejected):
    """The item ended without a result."""

    code = "no_result"

    def __init__(self, item_id: str) -> None:
        super().__init__(f"item {item_id} ended without a result")


class KeyConflict(Rejected):
    """An idempotency key came again with another body or other options."""

    code = "idempotency_key_reused"

    def __init__(self, key: str, item_id: str) -> None:
        super().__init__(
            f"idempotency key {key!r} was used with another body or other options: item {item_id}"
        )
        self.item_id = item_id


class QueueFull(Rejected):
    """The queue holds as many unfinished items as it may."""

    code = "queue_full"

    def __init__(self, queue: str, capacity_items: int) -> None:
        super().__init__(f"queue {queue!r} holds its {capacity_items} items; try again later")
        self.queue = queue


class Draining(Rejected):
    """The daemon is shutting down and takes nothing new."""

    code = "draining"

    def __init__(self) -> None:
        super().__init__("the daemon is draining; try again, another one may answer")


StoreErrorKind = Literal["busy", "timeout", "connection", "serialization", "full", "other"]


class StoreError(TirelessdError):
    """The store cannot do its work now; the caller may try again.

    `kind` is a closed word for metrics, `code` the stable one for callers.
    """

    code: ClassVar[str] = "store_unavailable"

    # `message` may name a path of the host: it is for logs and probes, never for callers.
    def __init__(self, message: str, kind: StoreErrorKind = "other") -> None:
        super().__init__(message)
        self.message = message
        self.kind: StoreErrorKind = kind


class StoreUnavailable(StoreError):
    """Nothing of the call happened."""


class StoreFull(StoreUnavailable):
    """The disk or the database has no room; nothing of the call happened."""

    code = "store_full"

    def __init__(self, message: str) -> None:
        super().__init__(message, "full")


class UnstorableValue(StoreUnavailable):
    """The store refuses what it was given; nothing happened, and to repeat it cannot help."""


class CommitUnknown(StoreError):
    """The commit was sent, and whether it happened could not be learned."""


class CommitPending(CommitUnknown, Generic[T]):
    """The disk has not answered in time; `fate` is the call's answer, once there is one."""

    def __init__(self, message: str, fate: Awaitable[T]) -> None:
        super().__init__(message, "timeout")
        self.fate = fate


class StartError(TirelessdError):
    """The daemon must not run like this; the message is the one line to print."""


class Misconfigured(StartError):
    """What was configured, here or in what it leads to, cannot work; the program's code is 2."""


class AttemptError(TirelessdError):
    """An attempt failed and its handler knows how.

    `reason` is a word of `outcome.Reason`; `detail` goes to history and log, bounded there;
    `retry_after_seconds` is what the other side asked for, or None.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.detail = detail
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class Retry(AttemptError):
    """Raised by a handler to be called again, at the earliest after `after_seconds`."""

    def __init__(self, detail: object = "", *, after_seconds: float | None = None) -> None:
        if isinstance(detail, int | float):
            raise TypeError(f"the first argument is a text: did you mean after_seconds={detail!r}?")
        if after_seconds is not None and not 0 <= float(after_seconds) < math.inf:
            raise ValueError(f"after_seconds must be a number from 0 on, not {after_seconds!r}")
        asked = None if after_seconds is None else float(after_seconds)
        super().__init__("handler", str(detail), retry_after_seconds=asked)


class GiveUp(AttemptError):
    """Raised by a handler when no further attempt can help; the item ends dead at once."""

    def __init__(self, detail: object = "") -> None:
        super().__init__("permanent", str(detail))
