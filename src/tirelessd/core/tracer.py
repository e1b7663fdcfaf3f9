"""Who follows requests, items and attempts: nobody, unless the daemon brings somebody."""

from __future__ import annotations

from typing import Final, Protocol

from tirelessd.core.item import Claim
from tirelessd.core.trace import (
    UNTRACED,
    AttemptTrace,
    RequestTrace,
    SendTrace,
    TraceContext,
    Untraced,
)


class Tracer(Protocol):
    """Begins to follow something; called in the event loop's thread, never blocks or raises."""

    def request(self, method: str, route: str, caller: TraceContext | None) -> RequestTrace:
        """A request to the API; `route` has no value of a caller's in it."""
        ...

    def send(self, queue: str, parent: TraceContext | None, items: int) -> SendTrace:
        """So many items about to be stored."""
        ...

    def attempt(self, claim: Claim) -> AttemptTrace:
        """An attempt that a slot has."""
        ...


class UntracedTracer:
    """Follows nothing: contexts go where items go."""

    def request(self, method: str, route: str, caller: TraceContext | None) -> Untraced:
        """The caller's own context."""
        return UNTRACED if caller is None else Untraced(caller)

    def send(self, queue: str, parent: TraceContext | None, items: int) -> Untraced:
        """The caller's own context."""
        return UNTRACED if parent is None else Untraced(parent)

    def attempt(self, claim: Claim) -> Untraced:
        """The context that the item was accepted with."""
        return UNTRACED if claim.trace is None else Untraced(claim.trace)


NO_TRACER: Final = UntracedTracer()
