"""A trace as the parts of the daemon see it: a context to hand on, and what takes a while.

Who traces is not known here. Without anybody an item's context is handed on as its caller gave it,
at the cost of a call that does nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import Context as Variables
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from tirelessd.core.outcome import Failure, Outcome


class TraceContext(msgspec.Struct, frozen=True):
    """Where something stands in a trace, as W3C Trace Context writes it.

    With `is_recorded` it is a span of this process that will be exported, so that others may point
    to it.
    """

    traceparent: str
    tracestate: str | None = None
    is_recorded: bool = False

    # Every version of the standard has the two in these places.

    @property
    def trace_id(self) -> str:
        """The trace, in 32 hexadecimal digits."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """The place in it, in 16 hexadecimal digits."""
        return self.traceparent[36:52]


# Set for a handler's task, so that what it calls, and writes into the log, knows its place.
HERE: Final[ContextVar[TraceContext | None]] = ContextVar("tirelessd_trace", default=None)


class RequestTrace(Protocol):
    """A submit request on its way; what it comes to is a child of `context`."""

    @property
    def context(self) -> TraceContext | None:
        """What to hand on."""
        ...

    def answered(self, status: int) -> None:
        """The request is over."""
        ...


class Bounded(Protocol):
    """What lasts from entering to leaving it; an error that gets out of it is its own."""

    @property
    def context(self) -> TraceContext | None:
        """What to hand on."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class SendTrace(Bounded, Protocol):
    """Items being stored; `context` is stored with them."""

    def carries(self, item_id: str) -> None:
        """There is one item, of this id."""
        ...


class CallTrace(Bounded, Protocol):
    """A request to an upstream; `context` goes with it."""

    def answered(self, status: int) -> None:
        """The upstream gave this status."""
        ...


class AttemptTrace(Protocol):
    """An attempt between its claim and the answer to its settlement."""

    @property
    def context(self) -> TraceContext | None:
        """What to hand on."""
        ...

    def task_context(self) -> Variables | None:
        """Context variables for the handler's task, None for those of whoever starts it."""
        ...

    def call(self, url: str) -> CallTrace:
        """A POST to a URL, which is told without its query."""
        ...

    def settling(self) -> AbstractContextManager[object]:
        """The writing of the decision."""
        ...

    def ended(self, outcome: Outcome | None, failure: Failure | None) -> None:
        """The attempt is over; None when its lease had been lost."""
        ...


class Untraced:
    """Fulfils all of these and does nothing but hand on what it was given."""

    __slots__ = ("context",)

    def __init__(self, context: TraceContext | None = None) -> None:
        self.context = context

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return

    def carries(self, item_id: str) -> None:
        """Nothing to note."""

    def answered(self, status: int) -> None:
        """Nothing to note."""

    def task_context(self) -> None:
        """No variables of one's own."""

    def call(self, url: str) -> Untraced:
        """The same context for the upstream."""
        return self

    def settling(self) -> Untraced:
        """Nothing to note."""
        return self

    def ended(self, outcome: Outcome | None, failure: Failure | None) -> None:
        """Nothing to note."""


UNTRACED: Final = Untraced()
