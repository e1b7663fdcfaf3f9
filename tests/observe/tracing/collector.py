"""A collector of traces on loopback: takes OTLP over HTTP and keeps what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from multidict import CIMultiDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.live.server import free_port

PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Told:
    """A span as it came over the wire; ids in hexadecimal digits, empty for none."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Collector:
    """Answers `status` to every export."""

    status: int = 200
    port: int = field(default_factory=free_port)
    spans: list[Told] = field(default_factory=list)
    headers: list[CIMultiDict[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where spans are to be sent to."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    async def __aenter__(self) -> Self:
        self._changed = asyncio.Condition()
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Return once it is so; looked at after every export."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(is_so)

    def of(self, trace_id: str) -> list[Told]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]

    async def _take(self, request: web.Request) -> web.Response:
        asked = ExportTraceServiceRequest.FromString(await request.read())
        async with self._changed:
            self.headers.append(request.headers.copy())
            if self.status == 200:
                self.spans += spans_of(asked)
            self._changed.notify_all()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, status=self.status, content_type="application/x-protobuf")


def spans_of(asked: ExportTraceServiceRequest) -> list[Told]:
    """Every span of an export."""
    return [
        Told(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            tuple(link.trace_id.hex() for link in span.links),
            values_of(span.attributes),
            values_of(of_resource.resource.attributes),
        )
        for of_resource in asked.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def values_of(attributes: Any) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
