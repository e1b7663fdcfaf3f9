"""What a trace looks like: which spans there are, what they belong to, and what they say."""

from __future__ import annotations

import msgspec
import pytest
from opentelemetry import trace as otel
from opentelemetry.trace import SpanKind

from tests.api.edge import Edge
from tests.observe.tracing.told import (
    CALLER,
    Told,
    attributes,
    ids,
    is_error,
    link_ids,
    parent_ids,
)
from tirelessd.core.decision import Complete
from tirelessd.core.errors import AttemptError
from tirelessd.core.events import (
    AttemptFinished,
    IntakeRequestFinished,
    ItemClaimed,
    ItemDied,
    ItemSucceeded,
)
from tirelessd.core.item import Claim, Context, Item, Lease
from tirelessd.core.outcome import Failure, Outcome, Reason
from tirelessd.core.trace import HERE, TraceContext
from tirelessd.observe.tracing.tracer import SpanTracer

SUBMIT = "POST /v1/queues/{queue}/items"
FAILED = AttemptError(Reason.HTTP_5XX, "boom", status=503)


async def test_a_trace_leads_from_the_caller_through_intake_to_the_attempt(
    edge: Edge, told: Told
) -> None:
    """Request, send, process and settle, each the child of what made it."""
    await edge.submit(traceparent=CALLER.traceparent, tracestate="shop=1")
    await edge.house.recorder.wait_for(ItemSucceeded)

    request, send = told.one(SUBMIT), told.one("send work")
    process, settle = told.one("process work"), told.one("settle work")
    assert parent_ids(request) == (CALLER.trace_id, CALLER.span_id)
    assert parent_ids(send) == ids(request)
    assert parent_ids(process) == ids(send)
    assert parent_ids(settle) == ids(process)
    kinds = [span.kind for span in (request, send, process, settle)]
    assert kinds == [SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CLIENT]


async def test_a_caller_without_a_trace_gets_one(edge: Edge, told: Told) -> None:
    """It begins with the request."""
    await edge.submit()
    await edge.house.recorder.wait_for(ItemSucceeded)

    request, process = told.one(SUBMIT), told.one("process work")
    assert parent_ids(request) is None
    assert ids(process)[0] == ids(request)[0]


async def test_spans_say_what_the_conventions_ask_for(edge: Edge, told: Told) -> None:
    """The item's id is on all of them that are about one item."""
    receipt = await edge.submit(b"four")
    await edge.house.recorder.wait_for(ItemSucceeded)

    said = attributes(told.one("process work"))
    waited = said.pop("tirelessd.wait_seconds")
    assert said == {
        "messaging.system": "tirelessd",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "work",
        "messaging.message.id": receipt["id"],
        "messaging.message.body.size": 4,
        "tirelessd.attempt": 1,
        "tirelessd.generation": 1,
        "tirelessd.outcome": "success",
    }
    assert waited >= 0
    for operation in ("send", "settle"):
        about = attributes(told.one(f"{operation} work"))
        assert about["messaging.operation.type"] == operation
        assert about["messaging.message.id"] == receipt["id"]
    assert attributes(told.one(SUBMIT)) == {
        "http.request.method": "POST",
        "http.route": "/v1/queues/{queue}/items",
        "url.scheme": "http",
        "http.response.status_code": 202,
    }


async def test_a_retry_is_a_root_of_its_own_with_a_link(edge: Edge, told: Told) -> None:
    """Hours later it must not stretch the first trace; only the failed attempt is an error."""
    edge.house.handlers["work"].script(b"x", FAILED)

    await edge.submit(traceparent=CALLER.traceparent)
    await edge.house.recorder.wait_for(ItemSucceeded)

    first, second = told.named("process work")
    assert ids(first)[0] == CALLER.trace_id
    assert parent_ids(second) is None
    assert ids(second)[0] != CALLER.trace_id
    assert link_ids(second) == [ids(told.one("send work"))]
    assert attributes(first)["tirelessd.outcome"] == "retry"
    assert attributes(first)["error.type"] == "http_5xx"
    errors = [span.name for span in told.exporter.get_finished_spans() if is_error(span)]
    assert errors == ["process work"]
    assert not first.events


@pytest.mark.parametrize(("queue", "is_child"), [("linked", False), ("nested", True)])
async def test_a_queue_can_have_all_attempts_linked_or_nested(
    edge: Edge, told: Told, queue: str, *, is_child: bool
) -> None:
    """Whatever their number."""
    edge.house.handlers[queue].script(b"x", FAILED)

    await edge.submit(queue=queue)
    await edge.house.recorder.wait_for(ItemSucceeded)

    created = ids(told.one(f"send {queue}"))
    for process in told.named(f"process {queue}"):
        assert parent_ids(process) == (created if is_child else None)
        assert link_ids(process) == ([] if is_child else [created])


async def test_a_first_attempt_beyond_the_horizon_is_linked(told: Told, tracer: SpanTracer) -> None:
    """An hour after its acceptance nobody waits for the rest of that trace."""
    late = a_claim(age_seconds=3_600.0)

    tracer.attempt(late).ended(Outcome.SUCCESS, None)

    process = told.one("process work")
    assert parent_ids(process) is None
    assert link_ids(process) == [(CALLER.trace_id, CALLER.span_id)]


async def test_a_redriven_item_is_linked_to_both_its_beginnings(edge: Edge, told: Told) -> None:
    """To where it was handed in, and to where an operator put it back."""
    operator = TraceContext(f"00-{'a' * 32}-{'b' * 16}-01")
    edge.house.handlers["work"].script(b"x", AttemptError(Reason.HTTP_4XX, "no", status=404))
    await edge.submit()
    await edge.house.recorder.wait_for(ItemDied)

    await edge.client.post(
        "/v1/dead-letters/redrive",
        json={"all": True},
        headers={"traceparent": operator.traceparent},
    )
    await edge.house.recorder.wait_for(ItemSucceeded)

    _, again = told.named("process work")
    assert parent_ids(again) is None
    created = ids(told.one("send work"))
    assert link_ids(again) == [created, (operator.trace_id, operator.span_id)]


async def test_a_batch_is_sent_in_one_span_a_commit(edge: Edge, told: Told) -> None:
    """A span a line would be ten thousand of them."""
    await edge.send_lines(*[b'{"payload": 1}'] * 3)
    await edge.house.recorder.wait_for(ItemSucceeded, 3)

    send = told.one("send work")
    assert attributes(send)["messaging.batch.message_count"] == 3
    assert [parent_ids(span) for span in told.named("process work")] == [ids(send)] * 3


@pytest.mark.parametrize("tracer", [0.0], indirect=True)
async def test_a_caller_that_has_decided_is_followed(edge: Edge, told: Told) -> None:
    """With none of our own traces kept: the ratio is for traces that begin here."""
    await edge.submit(b"kept", traceparent=CALLER.traceparent)
    await edge.submit(b"not kept")
    await edge.house.recorder.wait_for(ItemSucceeded, 2)

    assert {ids(span)[0] for span in told.exporter.get_finished_spans()} == {CALLER.trace_id}


@pytest.mark.parametrize("tracer", [0.0], indirect=True)
async def test_a_decision_against_a_trace_goes_along(edge: Edge, told: Told) -> None:
    """Nothing is exported, and the handler is told so, to tell it to others."""
    seen = []

    async def look(item: Item, context: Context) -> Complete:
        with context.trace.call("http://nowhere/") as call:
            seen.append((context.traceparent, call.context))
        return Complete()

    edge.house.handlers["work"].script(b"x", look)

    await edge.submit(traceparent=CALLER.traceparent.removesuffix("1") + "0")
    (done,) = await edge.house.recorder.wait_for(ItemSucceeded)

    ((traceparent, called),) = seen
    assert done.trace is not None
    assert done.trace == called
    assert not done.trace.is_recorded
    assert traceparent == f"00-{CALLER.trace_id}-{done.trace.span_id}-00"
    assert not told.names


async def test_events_point_to_their_spans(edge: Edge, told: Told) -> None:
    """So that metrics and lines can."""
    edge.house.handlers["work"].script(b"x", AttemptError(Reason.HTTP_4XX, "no", status=404))

    await edge.submit(traceparent=CALLER.traceparent)
    (died,) = await edge.house.recorder.wait_for(ItemDied)
    (answered,) = await edge.house.recorder.wait_for(IntakeRequestFinished)

    (claimed,) = edge.house.recorder.of(ItemClaimed)
    (finished,) = edge.house.recorder.of(AttemptFinished)
    process = ids(told.one("process work"))
    for event in (died, claimed, finished):
        assert event.trace is not None
        assert event.trace.is_recorded
        assert (event.trace.trace_id, event.trace.span_id) == process
    assert answered.trace is not None
    assert answered.trace.span_id == ids(told.one(SUBMIT))[1]


async def test_a_handler_finds_itself_inside_its_attempt(edge: Edge, told: Told) -> None:
    """Whatever it traces by itself becomes a child, and its context says what to pass on."""
    seen = []

    async def look(item: Item, context: Context) -> Complete:
        current = otel.get_current_span().get_span_context()
        seen.append((f"{current.trace_id:032x}", f"{current.span_id:016x}"))
        here = HERE.get()
        assert here is not None
        assert (context.traceparent, context.tracestate) == (here.traceparent, here.tracestate)
        return Complete()

    edge.house.handlers["work"].script(b"x", look)

    await edge.submit(traceparent=CALLER.traceparent, tracestate="shop=1")
    await edge.house.recorder.wait_for(ItemSucceeded)

    assert seen == [ids(told.one("process work"))]


async def test_an_error_of_ours_is_one_and_a_caller_s_is_not(edge: Edge, told: Told) -> None:
    """A store that fails is an error of the request and of the send; a typo is not."""
    await edge.client.post("/v1/queues/work/items", headers={"Tirelessd-Priority": "ten"})
    edge.house.store.broken.add("enqueue")
    await edge.client.post("/v1/queues/work/items", data=b"x")

    typo, failed = told.named(SUBMIT)
    send = told.one("send work")
    assert [is_error(typo), is_error(failed), is_error(send)] == [False, True, True]
    assert attributes(send)["error.type"] == "StoreUnavailable"


def test_a_lost_lease_is_an_error_and_a_drain_is_none(told: Told, tracer: SpanTracer) -> None:
    """Both attempts come to nothing; the one that is not counted did nothing wrong."""
    tracer.attempt(a_claim()).ended(None, None)
    tracer.attempt(a_claim()).ended(Outcome.RELEASED, Failure(Reason.DRAIN, "draining"))

    lost, released = told.named("process work")
    assert is_error(lost)
    assert attributes(lost)["error.type"] == "lease_lost"
    assert not is_error(released)
    assert attributes(released)["tirelessd.outcome"] == "released"


def test_a_stored_context_that_is_none_does_no_harm(told: Told, tracer: SpanTracer) -> None:
    """A store is a file that somebody may have edited."""
    claim = msgspec.structs.replace(a_claim(), trace=TraceContext("00-nonsense"))

    tracer.attempt(claim).ended(Outcome.SUCCESS, None)

    assert told.names == {"process work"}


def a_claim(age_seconds: float = 0.0) -> Claim:
    """An item of the caller's."""
    return Claim(
        Item("item-1", "work", b"x", "text/plain", {}, 4, 0.0),
        Lease("item-1", "work", 1, 1),
        attempt=1,
        generation=1,
        deadline_seconds=60.0,
        age_seconds=age_seconds,
        trace=CALLER,
    )
