"""An engine and the API in front of it that are traced into memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from tests.api.edge import Edge, ListenerServer, MakeClient
from tests.engine.script import FAST_RETRY, House
from tests.observe.tracing.told import HORIZON_SECONDS, Told
from tirelessd.api.limits import Limits
from tirelessd.core.queue import QueueConfig, Relation
from tirelessd.observe.tracing.tracer import SpanTracer


@pytest.fixture
def told() -> Told:
    """What was exported."""
    return Told(InMemorySpanExporter())


@pytest.fixture
def tracer(told: Told, request: pytest.FixtureRequest) -> SpanTracer:
    """A tracer that follows its callers, and samples all that begins here, or the share given."""
    ratio = getattr(request, "param", 1.0)
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(told.exporter))
    relations: dict[str, Relation] = {"linked": "link", "nested": "parent"}
    return SpanTracer(provider.get_tracer("test"), relations, HORIZON_SECONDS)


@pytest.fixture
async def edge(
    tracer: SpanTracer, tmp_path: Path, aiohttp_client: MakeClient
) -> AsyncIterator[Edge]:
    """The API of an engine with a queue for each relation; `work` has the usual one."""
    queues = [
        QueueConfig(name, slots=2, retry=FAST_RETRY, forward_headers=("x-tenant",))
        for name in ("work", "linked", "nested")
    ]
    house = await House(tmp_path / "store.db", queues, tracer=tracer).start()
    edge = Edge(house, [], Limits())
    edge.client = await aiohttp_client(ListenerServer(edge.listener))
    yield edge
    await house.crash()
