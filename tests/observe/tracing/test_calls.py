"""The call to an upstream: a span of its own, whose context the upstream is told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.engine.handlers.upstream import Upstream, an_item, handler_for, sending, status
from tests.observe.tracing.test_spans import a_claim
from tests.observe.tracing.told import CALLER, Told, attributes, ids, is_error, parent_ids
from tirelessd.core.errors import AttemptError
from tirelessd.core.item import Context
from tirelessd.core.outcome import Outcome
from tirelessd.observe.tracing.tracer import SpanTracer


async def attempt(tracer: SpanTracer, url: str, number: int = 1) -> Any:
    """One attempt at an upstream; the error that it came to, if any."""
    traced = tracer.attempt(replace(a_claim(), attempt=number))
    try:
        async with handler_for(url) as handler:
            await handler.attempt(an_item(), Context(number, 20, 60.0, None, traced))
    except AttemptError as error:
        return error
    finally:
        traced.ended(Outcome.SUCCESS, None)
    return None


async def test_the_upstream_is_told_the_call_s_context(told: Told, tracer: SpanTracer) -> None:
    """Its own span becomes a child of the call, in the caller's trace, with the caller's state."""
    async with Upstream(status(200)) as upstream:
        await attempt(tracer, upstream.url)

    call, process = told.one("POST"), told.one("process work")
    (request,) = upstream.requests
    trace_id, span_id = ids(call)
    assert request.values(b"traceparent") == [f"00-{trace_id}-{span_id}-01".encode()]
    assert request.values(b"tracestate") == [b"shop=1"]
    assert parent_ids(call) == ids(process)
    assert trace_id == CALLER.trace_id
    said = attributes(call)
    assert said == {
        "http.request.method": "POST",
        "url.full": f"http://localhost:{upstream.port}/predict",
        "server.address": "localhost",
        "server.port": upstream.port,
        "http.response.status_code": 200,
    }


async def test_a_repeated_call_says_so(told: Told, tracer: SpanTracer) -> None:
    """The third attempt is the second repetition."""
    async with Upstream(status(200)) as upstream:
        await attempt(tracer, upstream.url, number=3)

    assert attributes(told.one("POST"))["http.request.resend_count"] == 2


@pytest.mark.parametrize(
    ("answer", "word"),
    [(status(503), "503"), (status(301), "301"), (sending(b"nonsense\r\n\r\n"), "protocol")],
)
async def test_a_failed_call_says_why(
    told: Told, tracer: SpanTracer, answer: Any, word: str
) -> None:
    """The status where there is one, the reason of the failure otherwise."""
    async with Upstream(answer) as upstream:
        error = await attempt(tracer, upstream.url)

    call = told.one("POST")
    assert error is not None
    assert is_error(call)
    assert attributes(call)["error.type"] == word
