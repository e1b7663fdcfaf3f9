"""Taking one item: what is kept of it, what is answered, what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import pytest

from tests.api.conftest import WORK, MakeEdge
from tests.api.edge import Edge, post, problem_in
from tirelessd.core.decision import Complete
from tirelessd.core.events import (
    IntakeRequestFinished,
    IntakeRequestStarted,
    ItemAccepted,
    ItemSucceeded,
)
from tirelessd.core.item import Context, Item
from tirelessd.core.queue import QueueConfig

ITEMS = "/v1/queues/work/items"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_accepted_item_is_named_and_located(idle: Edge) -> None:
    """202 carries the id, the queue, the state, and where to look."""
    response = await idle.client.post(ITEMS, data=b"x")

    receipt = await response.json()
    assert response.status == 202
    assert receipt == {"id": receipt["id"], "queue": "work", "state": "queued"}
    assert response.headers["Location"] == f"/v1/items/{receipt['id']}"
    assert "Idempotency-Replayed" not in response.headers
    (accepted,) = idle.house.recorder.of(ItemAccepted)
    assert accepted.item_id == receipt["id"]


async def test_location_leads_to_the_item(idle: Edge) -> None:
    """The item is there for whoever follows the header."""
    response = await idle.client.post(ITEMS, data=b"x")

    item = await idle.get(response.headers["Location"])

    assert item["id"] == (await response.json())["id"]


@pytest.mark.parametrize("fields", [(), ("Content-Type:",)])
async def test_payload_without_a_type_is_bytes(idle: Edge, fields: tuple[str, ...]) -> None:
    """Without a content type, or with an empty one, it is application/octet-stream."""
    wire = await idle.connect()
    answer = await wire.send(post(b"x", *fields)).answer()

    response = await idle.client.get(answer.headers["location"] + "/payload")

    assert response.headers["Content-Type"] == "application/octet-stream"
    wire.close()


async def test_empty_body_is_a_payload(idle: Edge) -> None:
    """Nothing at all is as good a payload as any."""
    receipt = await idle.submit(b"")

    response = await idle.client.get(f"/v1/items/{receipt['id']}/payload")

    assert (response.status, await response.read()) == (200, b"")


async def test_body_of_the_limit_is_taken(idle: Edge) -> None:
    """The limit itself is allowed, by declared length and in chunks."""
    body = b"x" * idle.limits.body_bytes

    async def in_chunks() -> AsyncIterator[bytes]:
        yield body[:1]
        yield body[1:]

    declared = await idle.client.post(ITEMS, data=body)
    undeclared = await idle.client.post(ITEMS, data=in_chunks())

    assert (declared.status, undeclared.status) == (202, 202)


async def test_options_are_kept_with_the_item(idle: Edge) -> None:
    """Priority, delay and deadline are shown as they were asked for."""
    receipt = await idle.submit(
        Tirelessd_Priority="9", Tirelessd_Delay="60.5", Tirelessd_Deadline="1e3"
    )

    item = await idle.get(f"/v1/items/{receipt['id']}")

    due, deadline, accepted = (
        datetime.fromisoformat(item[name]).timestamp()
        for name in ("due_at", "deadline_at", "accepted_at")
    )
    assert item["priority"] == 9
    assert item["shown_state"] == "scheduled"
    assert due - accepted == pytest.approx(60.5, abs=0.01)
    assert deadline - due == pytest.approx(1_000, abs=0.01)


async def test_not_before_sets_the_due_time(idle: Edge) -> None:
    """The instant is taken in any offset."""
    receipt = await idle.submit(Tirelessd_Not_Before="2031-01-01T02:00:00+02:00")

    item = await idle.get(f"/v1/items/{receipt['id']}")

    assert item["due_at"] == "2031-01-01T00:00:00Z"


async def test_what_a_daemon_tells_its_upstream_is_no_option(idle: Edge) -> None:
    """One daemon can be the upstream of another: its headers are let through."""
    receipt = await idle.submit(Tirelessd_Item_Id="x", Tirelessd_Attempt="1", Idempotency_Key="x")

    assert receipt["state"] == "queued"


class Seen:
    """A step that keeps what the handler was given."""

    def __init__(self) -> None:
        self.item: Item
        self.context: Context

    async def __call__(self, item: Item, context: Context) -> Complete:
        """Look and succeed."""
        self.item, self.context = item, context
        return Complete(b"done", "text/plain")


async def test_trace_context_and_allowed_headers_reach_the_handler(edge: Edge) -> None:
    """The caller's trace and the headers that the queue forwards come along, no others."""
    seen = Seen()
    edge.house.handlers["work"].script(b"x", seen)

    await edge.submit(
        traceparent=TRACEPARENT, tracestate="a=1,b=2", X_Tenant="shop", X_Other="hidden"
    )
    await edge.house.recorder.wait_for(ItemSucceeded)

    assert (seen.context.traceparent, seen.context.tracestate) == (TRACEPARENT, "a=1,b=2")
    assert dict(seen.item.headers) == {"x-tenant": "shop"}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["tenant=a"], "tenant=a"),
        (["user=u, tenant = a;scope=x ,tenant=b", "region=eu"], "tenant = a;scope=x,tenant=b"),
        (["user=u"], None),
        (["tenant"], None),
        (["tenant=" + "x" * 4_096] * 2, None),
        (["tenant=\udcff"], None),
        ([], None),
    ],
)
async def test_baggage_is_forwarded_by_its_keys(
    make_edge: MakeEdge, sent: list[str], kept: str | None
) -> None:
    """What nobody allowed stays here, and what is no baggage is no error."""
    names = ("baggage",)
    edge = await make_edge(QueueConfig("work", forward_headers=names, baggage_keys=("tenant",)))
    seen = Seen()
    edge.house.handlers["work"].script(b"x", seen)
    wire = await edge.connect()

    answer = await wire.send(post(b"x", *(f"baggage: {one}" for one in sent))).answer()
    await edge.house.recorder.wait_for(ItemSucceeded)

    assert answer.status == 202
    assert seen.item.headers.get("baggage") == kept
    wire.close()


async def test_repeated_header_is_forwarded_as_one(edge: Edge) -> None:
    """Lines of one name are a list, in the order in which they came (RFC 9110, 5.3)."""
    seen = Seen()
    edge.house.handlers["work"].script(b"x", seen)
    wire = await edge.connect()

    await wire.send(post(b"x", "X-Tenant: a", "x-tenant: b")).answer()
    await edge.house.recorder.wait_for(ItemSucceeded)

    assert dict(seen.item.headers) == {"x-tenant": "a, b"}
    wire.close()


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "x",
        TRACEPARENT.upper(),
        TRACEPARENT + "-more",
        "ff" + TRACEPARENT[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        TRACEPARENT.replace("-", "_"),
        "\udcff",
    ],
)
async def test_malformed_trace_context_is_ignored(edge: Edge, malformed: str) -> None:
    """The standard says so: a bad traceparent is as good as none, and is no error."""
    seen = Seen()
    edge.house.handlers["work"].script(b"x", seen)
    wire = await edge.connect()

    answer = await wire.send(post(b"x", f"traceparent: {malformed}", "tracestate: a=1")).answer()
    await edge.house.recorder.wait_for(ItemSucceeded)

    assert answer.status == 202
    assert (seen.context.traceparent, seen.context.tracestate) == (None, None)
    wire.close()


async def test_trace_context_of_a_later_version_is_kept(edge: Edge) -> None:
    """Later versions of the standard may add fields."""
    seen = Seen()
    edge.house.handlers["work"].script(b"x", seen)

    await edge.submit(traceparent="01" + TRACEPARENT[2:] + "-more")
    await edge.house.recorder.wait_for(ItemSucceeded)

    assert seen.context.traceparent == "01" + TRACEPARENT[2:] + "-more"


# --- idempotency -------------------------------------------------------------


async def test_same_key_is_answered_with_the_same_item(idle: Edge) -> None:
    """A repeated submission says so, and gives the first one's id and state now."""
    first = await idle.submit(b"x", Idempotency_Key="order-1")
    await idle.client.delete(f"/v1/items/{first['id']}")

    response = await idle.client.post(ITEMS, data=b"x", headers={"Idempotency-Key": "order-1"})

    assert response.status == 202
    assert response.headers["Idempotency-Replayed"] == "true"
    assert response.headers["Location"] == f"/v1/items/{first['id']}"
    assert await response.json() == {"id": first["id"], "queue": "work", "state": "cancelled"}
    assert len(idle.house.recorder.of(ItemAccepted)) == 1


async def test_purged_item_is_replayed_as_purged(idle: Edge) -> None:
    """The key outlives its item: nothing is stored again."""
    first = await idle.submit(b"x", Idempotency_Key="order-1")
    await idle.client.delete(f"/v1/items/{first['id']}")
    await idle.purge_ended()

    replay = await idle.submit(b"x", Idempotency_Key="order-1")

    assert replay == {"id": first["id"], "queue": "work", "state": "purged"}


@pytest.mark.parametrize("change", ["body", "type", "option"])
async def test_same_key_for_another_request_is_refused(idle: Edge, change: str) -> None:
    """Body, content type and options belong to what a key stands for."""
    first = await idle.submit(b"x", Idempotency_Key="k", Content_Type="a/b")
    headers = {"Idempotency-Key": "k", "Content-Type": "a/c" if change == "type" else "a/b"}
    if change == "option":
        headers["Tirelessd-Priority"] = "5"

    response = await idle.client.post(
        ITEMS, data=b"y" if change == "body" else b"x", headers=headers
    )

    problem = await problem_in(response)
    assert (response.status, problem["code"]) == (422, "idempotency_key_reused")
    assert problem["item_id"] == first["id"]


async def test_trace_context_is_no_part_of_what_a_key_stands_for(idle: Edge) -> None:
    """A retried request has another span, and is the same request."""
    first = await idle.submit(Idempotency_Key="k")

    second = await idle.submit(Idempotency_Key="k", traceparent=TRACEPARENT)

    assert second["id"] == first["id"]


async def test_key_belongs_to_its_queue(idle: Edge) -> None:
    """The same key in another queue is another item."""
    first = await idle.submit(Idempotency_Key="k")

    second = await idle.submit(queue="other", Idempotency_Key="k")

    assert second["id"] != first["id"]


async def test_concurrent_posts_of_one_key_make_one_item(idle: Edge) -> None:
    """Whoever comes together is answered with one id."""
    receipts = await asyncio.gather(*(idle.submit(Idempotency_Key="k") for _ in range(50)))

    assert len({receipt["id"] for receipt in receipts}) == 1
    assert len(idle.house.recorder.of(ItemAccepted)) == 1


async def test_replay_is_answered_when_the_queue_is_full(make_edge: MakeEdge) -> None:
    """A full queue refuses what is new, and remembers what it has."""
    full = await make_edge(msgspec.structs.replace(WORK, capacity_items=1))
    await full.pause()
    first = await full.submit(Idempotency_Key="k")

    replay = await full.submit(Idempotency_Key="k")
    refused = await full.client.post(ITEMS, data=b"new")

    problem = await problem_in(refused)
    assert replay["id"] == first["id"]
    assert (refused.status, problem["code"], problem["accepted"]) == (503, "queue_full", False)
    assert int(refused.headers["Retry-After"]) >= 1


async def test_replay_is_answered_while_draining(idle: Edge) -> None:
    """So is a daemon that shuts down."""
    first = await idle.submit(Idempotency_Key="k")
    idle.house.engine.intake.close()

    replay = await idle.submit(Idempotency_Key="k")
    refused = await idle.client.post(ITEMS, data=b"new")

    problem = await problem_in(refused)
    assert replay["id"] == first["id"]
    assert (refused.status, problem["code"], problem["accepted"]) == (503, "draining", False)


# --- what is counted ---------------------------------------------------------


async def test_every_submission_is_counted_once_by_its_result(idle: Edge) -> None:
    """One start and one end for each, with a word of the closed set and the status sent."""
    await idle.submit(Idempotency_Key="k")
    await idle.submit(Idempotency_Key="k")
    await idle.client.post(ITEMS, data=b"x", headers={"Tirelessd-Delay": "x"})
    await idle.client.post(ITEMS, data=b"x" * (idle.limits.body_bytes + 1))
    await idle.client.post("/v1/queues/nowhere/items", data=b"x")

    finished = idle.house.recorder.of(IntakeRequestFinished)

    assert [(event.result, event.status) for event in finished] == [
        ("accepted", 202),
        ("duplicate", 202),
        ("invalid", 400),
        ("too_large", 413),
        ("invalid", 404),
    ]
    assert all(event.duration_seconds >= 0 for event in finished)
    assert len(idle.house.recorder.of(IntakeRequestStarted)) == len(finished)


async def test_reads_are_no_submissions(idle: Edge) -> None:
    """Only the two intake calls are counted as intake."""
    await idle.get("/v1/queues")
    await idle.client.post("/v1/queues/work/pause")

    assert idle.house.recorder.of(IntakeRequestStarted) == []
