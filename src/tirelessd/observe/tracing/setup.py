"""OpenTelemetry, set up for one daemon."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import msgspec
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from tirelessd.core.events import Emit
from tirelessd.core.queue import Relation
from tirelessd.observe.tracing.export import THREAD_NAME, Outbox
from tirelessd.observe.tracing.guard import Guarded
from tirelessd.observe.tracing.tracer import SpanTracer

# For one export, with the one repetition that there is time for; the next one waits behind it.
EXPORT_SECONDS: Final = 2.0


class TracingConfig(msgspec.Struct, frozen=True):
    """Where spans go to, and which ones."""

    endpoint: str
    headers: Mapping[str, str]
    service_name: str
    version: str
    pod: str
    sample_ratio: float
    horizon_seconds: float
    relations: Mapping[str, Relation]


class Tracing:
    """A tracer whose spans are exported; `close` sends the last of them."""

    def __init__(self, config: TracingConfig, emit: Emit) -> None:
        exporter = OTLPSpanExporter(
            config.endpoint, headers=dict(config.headers), timeout=EXPORT_SECONDS
        )
        self._outbox = Outbox(exporter, emit)
        provider = TracerProvider(
            # A caller that has decided is followed; the ratio is for traces that begin here.
            sampler=ParentBased(TraceIdRatioBased(config.sample_ratio)),
            resource=Resource.create(
                {
                    "service.name": config.service_name,
                    "service.version": config.version,
                    "service.instance.id": config.pod,
                }
            ),
            # It would wait at the end of the process for a collector that may be gone.
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._outbox)
        # What a handler of somebody's own traces goes the same way, inside the attempt's span.
        trace.set_tracer_provider(provider)
        silence()
        otel = provider.get_tracer("tirelessd", config.version)
        spans = SpanTracer(otel, config.relations, config.horizon_seconds)
        self.tracer = Guarded(spans, emit)

    async def close(self, seconds: float) -> None:
        """Export what is left, in bounded time."""
        await self._outbox.close(seconds)


def silence() -> None:
    """Keep what exporting says by itself out of the log: each failure would have several lines."""
    logger = logging.getLogger("opentelemetry")  # noqa: TID251  (to turn it off)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    # A handler may use these as well, and what they say of its requests is its own business.
    for name in ("urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(is_of_others)  # noqa: TID251  (to turn it off)


def is_of_others(record: logging.LogRecord) -> bool:
    """Whether a line comes from any other thread than the one that exports."""
    return record.threadName != THREAD_NAME
