"""Between a context as it is stored and sent, and as OpenTelemetry has it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from tirelessd.core.trace import TraceContext

# Never the current context, which may be anybody's: who begins something says from where.
NOWHERE: Final = Context()


def span_context_of(trace: TraceContext) -> SpanContext:
    """The span that a stored context names; an invalid one for what is no context."""
    parent, state = trace.traceparent, trace.tracestate
    # Intake lets no other in, but the store is a file that somebody may have edited.
    with suppress(ValueError):
        return SpanContext(
            int(parent[3:35], 16),
            int(parent[36:52], 16),
            is_remote=True,
            trace_flags=TraceFlags(int(parent[53:55], 16)),
            trace_state=TraceState.from_header([state]) if state else None,
        )
    return INVALID_SPAN_CONTEXT


def parent_of(trace: TraceContext | None) -> Context:
    """Where a child of a stored context begins; nowhere without one."""
    if trace is None:
        return NOWHERE
    return set_span_in_context(NonRecordingSpan(span_context_of(trace)), NOWHERE)


def trace_context_of(span: Span) -> TraceContext:
    """What to store, or to send, to have something become a child of the span."""
    context = span.get_span_context()
    return TraceContext(
        f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}",
        context.trace_state.to_header() or None,
        is_recorded=context.trace_flags.sampled,
    )
