"""A tracer that fails is a defect of the tracer: the item goes its way, untraced."""

from __future__ import annotations

from tirelessd.core.events import Emit, UnexpectedError
from tirelessd.core.item import Claim
from tirelessd.core.trace import AttemptTrace, RequestTrace, SendTrace, TraceContext
from tirelessd.core.tracer import NO_TRACER, Tracer


class Guarded:
    """Another tracer, and none where that one raises; each time is told as `UnexpectedError`."""

    def __init__(self, tracer: Tracer, emit: Emit) -> None:
        self._tracer = tracer
        self._emit = emit

    def request(self, method: str, route: str, caller: TraceContext | None) -> RequestTrace:
        """The request, followed if that is possible."""
        try:
            return self._tracer.request(method, route, caller)
        except Exception as error:  # noqa: BLE001  (whatever it is, the request is served)
            self._emit(UnexpectedError("tracer of a request", error, caller))
            return NO_TRACER.request(method, route, caller)

    def send(self, queue: str, parent: TraceContext | None, items: int) -> SendTrace:
        """The items, followed if that is possible."""
        try:
            return self._tracer.send(queue, parent, items)
        except Exception as error:  # noqa: BLE001  (whatever it is, the items are stored)
            self._emit(UnexpectedError("tracer of items", error, parent))
            return NO_TRACER.send(queue, parent, items)

    def attempt(self, claim: Claim) -> AttemptTrace:
        """The attempt, followed if that is possible."""
        try:
            return self._tracer.attempt(claim)
        except Exception as error:  # noqa: BLE001  (whatever it is, the item is attempted)
            self._emit(UnexpectedError("tracer of an attempt", error, claim.trace))
            return NO_TRACER.attempt(claim)
