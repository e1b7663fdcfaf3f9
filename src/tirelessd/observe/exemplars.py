"""From a number on a dashboard to a trace that it came from."""

from __future__ import annotations

from prometheus_client.samples import Exemplar

from tirelessd.core.clock import Clock
from tirelessd.core.trace import TraceContext


class Exemplars:
    """Points from values to spans that are exported, and to no others: a link must lead somewhere.

    The labels take 63 of the 128 characters that OpenMetrics allows.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def of(self, trace: TraceContext | None, value: float = 1.0) -> Exemplar | None:
        """The pointer, if there is a span to point to."""
        if trace is None or not trace.is_recorded:
            return None
        labels = {"trace_id": trace.trace_id, "span_id": trace.span_id}
        return Exemplar(labels, value, self._clock.wall())
