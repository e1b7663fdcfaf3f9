"""From a number on a dashboard to a trace that it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from prometheus_client.samples import Exemplar

from tirelessd.core.clock import Clock
from tirelessd.core.trace import TraceContext
from tirelessd.observe.tallies import Distribution


class Traced(Protocol):
    """An event that tells where in a trace it happened."""

    @property
    def trace(self) -> TraceContext | None:
        """None outside of any trace."""
        ...


class Exemplars:
    """Points from values to spans that are exported, and to no others: a link must lead somewhere.

    The labels take 63 of the 128 characters that OpenMetrics allows. Where nothing `is_traced`,
    values are counted and nobody looks for spans.
    """

    def __init__(self, clock: Clock, *, is_traced: bool) -> None:
        self._clock = clock
        self._is_traced = is_traced

    def of(self, trace: TraceContext | None, value: float = 1.0) -> Exemplar | None:
        """The pointer, if there is a span to point to."""
        if trace is None or not trace.is_recorded:
            return None
        labels = {"trace_id": trace.trace_id, "span_id": trace.span_id}
        return Exemplar(labels, value, self._clock.wall())

    def observe(
        self, distribution: Distribution, events: Sequence[Traced], values: Sequence[float]
    ) -> None:
        """Count a value of each event, and point from it to the event's span."""
        distribution.observe_all(values)
        if not self._is_traced:
            return
        for event, value in zip(events, values, strict=True):
            if (exemplar := self.of(event.trace, value)) is not None:
                distribution.point(value, exemplar)
