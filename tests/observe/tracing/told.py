"""Spans that were exported, and how they belong together."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tirelessd.core.trace import TraceContext

HORIZON_SECONDS = 60.0
CALLER = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "shop=1")


class Told:
    """What an exporter was given."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self.exporter = exporter

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of a name, in the order in which they ended."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only span of a name."""
        (span,) = self.named(name)
        return span

    @property
    def names(self) -> set[str]:
        """All names there are."""
        return {span.name for span in self.exporter.get_finished_spans()}


def ids(span: ReadableSpan) -> tuple[str, str]:
    """The span's trace and its own id, as headers have them."""
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def parent_ids(span: ReadableSpan) -> tuple[str, str] | None:
    """The same of its parent; None for a root."""
    parent = span.parent
    return None if parent is None else (f"{parent.trace_id:032x}", f"{parent.span_id:016x}")


def link_ids(span: ReadableSpan) -> list[tuple[str, str]]:
    """The same of what it is linked to."""
    return [(f"{x.context.trace_id:032x}", f"{x.context.span_id:016x}") for x in span.links]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """What it says of itself."""
    return dict(span.attributes or {})


def is_error(span: ReadableSpan) -> bool:
    """Whether it is marked as failed."""
    return not span.status.is_ok and not span.status.is_unset
