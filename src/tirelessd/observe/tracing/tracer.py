"""The tracer that makes spans: what begins where, and what is linked to what.

The first attempt soon after acceptance belongs to the trace in which the item was handed in. A
retry may come hours later: as a child it would stretch that trace, and inherit a decision about
sampling that is long stale, so it begins a trace of its own and is linked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace import Tracer as OtelTracer

from tirelessd.core.item import Claim
from tirelessd.core.queue import Relation
from tirelessd.core.trace import SendTrace, TraceContext, Untraced
from tirelessd.observe.tracing.attempts import AttemptSpan, Within
from tirelessd.observe.tracing.contexts import (
    parent_of,
    span_context_of,
    trace_context_of,
)
from tirelessd.observe.tracing.names import fail, messaging

# The host that callers name is theirs to choose; how they reached this listener is not known here.
SCHEME: Final = "http"


class RequestSpan:
    """A submit request."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.context = trace_context_of(span)

    def answered(self, status: int) -> None:
        """The request is over; an error only when the fault was ours."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            fail(self._span, str(status))
        self._span.end()


class SendSpan(Within):
    """Items being stored."""

    def carries(self, item_id: str) -> None:
        """There is one item, of this id."""
        self._span.set_attribute("messaging.message.id", item_id)


class SpanTracer:
    """`core.tracer.Tracer`, on OpenTelemetry.

    `relations` has what is not `hybrid`, by queue; `horizon_seconds` after its acceptance an item's
    first attempt is no longer a part of the caller's trace.
    """

    def __init__(
        self, tracer: OtelTracer, relations: Mapping[str, Relation], horizon_seconds: float
    ) -> None:
        self._tracer = tracer
        self._relations = relations
        self._horizon_seconds = horizon_seconds

    def request(self, method: str, route: str, caller: TraceContext | None) -> RequestSpan:
        """A SERVER span, named by the route."""
        attributes = {"http.request.method": method, "http.route": route, "url.scheme": SCHEME}
        name = f"{method} {route}"
        parent = parent_of(caller)
        return RequestSpan(self._tracer.start_span(name, parent, SpanKind.SERVER, attributes))

    def send(self, queue: str, parent: TraceContext | None, items: int) -> SendTrace:
        """A PRODUCER span; its context is what the items are stored with."""
        # Within a request that is not sampled this would not be either.
        if parent is not None and not parent.is_recorded:
            return Untraced(parent)
        attributes = messaging("send", queue)
        if items > 1:
            attributes["messaging.batch.message_count"] = items
        span = self._tracer.start_span(
            f"send {queue}", parent_of(parent), SpanKind.PRODUCER, attributes
        )
        return SendSpan(span)

    def attempt(self, claim: Claim) -> AttemptSpan:
        """A CONSUMER span, in the item's own trace or linked to it."""
        item = claim.item
        attributes = messaging("process", item.queue, item.id)
        attributes["messaging.message.body.size"] = len(item.payload)
        attributes["tirelessd.attempt"] = claim.attempt
        attributes["tirelessd.generation"] = claim.generation
        attributes["tirelessd.wait_seconds"] = claim.waited_seconds
        parent, links = self._place(claim)
        span = self._tracer.start_span(
            f"process {item.queue}", parent, SpanKind.CONSUMER, attributes, links
        )
        return AttemptSpan(self._tracer, span, claim)

    def _place(self, claim: Claim) -> tuple[Context, list[Link]]:
        is_child = self._is_child(claim)
        others = (None if is_child else claim.trace, claim.redriven)
        links = [Link(span_context_of(other)) for other in others if other is not None]
        return parent_of(claim.trace if is_child else None), links

    def _is_child(self, claim: Claim) -> bool:
        relation = self._relations.get(claim.item.queue, "hybrid")
        if relation != "hybrid":
            return relation == "parent"
        is_first = claim.attempt == 1 and claim.generation == 1
        return is_first and claim.age_seconds <= self._horizon_seconds
