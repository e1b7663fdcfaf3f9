"""Looking at queues, paging through their items, pausing and resuming them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import OTHER, WORK
from tests.api.edge import Edge, problem_in
from tests.engine.script import Gate
from tirelessd.core.errors import GiveUp, Retry
from tirelessd.core.events import ItemDied, ItemSucceeded, QueuePaused, QueueResumed

NOTHING = {
    "ready": 0,
    "scheduled": 0,
    "retrying": 0,
    "running": 0,
    "succeeded": 0,
    "dead": 0,
    "cancelled": 0,
}

MALFORMED_QUERIES = [
    ("/v1/queues/work/items", "limit=0", "limit"),
    ("/v1/queues/work/items", "limit=1001", "limit"),
    ("/v1/queues/work/items", "limit=-1", "limit"),
    ("/v1/queues/work/items", "limit=1.5", "limit"),
    ("/v1/queues/work/items", "limit=", "limit"),
    ("/v1/queues/work/items", "limit=%D9%A1", "limit"),
    ("/v1/queues/work/items", f"limit={'9' * 5_000}", "limit"),
    ("/v1/queues/work/items", "limit=1&limit=1", "limit"),
    ("/v1/queues/work/items", "state=", "state"),
    ("/v1/queues/work/items", "state=Ready", "state"),
    ("/v1/queues/work/items", "state=ready&state=dead", "state"),
    ("/v1/queues/work/items", "after=", "after"),
    ("/v1/queues/work/items", "after=x", "after"),
    ("/v1/queues/work/items", "after=%00", "after"),
    ("/v1/queues/work/items", "after=%FF", "after"),
    ("/v1/queues/work/items", f"after={'x' * 513}", "after"),
    ("/v1/queues/work/items", "afterr=x", "afterr"),
    ("/v1/queues/work/items", "x", "x"),
    ("/v1/queues/work", "x=1", "x"),
    ("/v1/queues", "limit=1", "limit"),
    ("/v1/dead-letters", "reason=boredom", "reason"),
    ("/v1/dead-letters", "queue=", "queue"),
    ("/v1/dead-letters", f"queue={'x' * 64}", "queue"),
    ("/v1/dead-letters", "queue=%C3%A4", "queue"),
    ("/v1/dead-letters", "queue=a%00b", "queue"),
    ("/v1/dead-letters", "queue=work%0A", "queue"),
    ("/v1/dead-letters", "after=x", "after"),
    ("/v1/items/01999999-0000-7000-8000-000000000000", "x=1", "x"),
]
MALFORMED_PAUSES = [
    b"x",
    b"[]",
    b"null",
    b'{"expires_in_seconds": 0}',
    b'{"expires_in_seconds": -1}',
    b'{"expires_in_seconds": "1"}',
    b'{"expires_in_seconds": 1e999}',
    b'{"expires_in_seconds": NaN}',
    b'{"expires_in_second": 1}',
    b'{"expires_in_seconds": 1}{}',
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    b'{"\xff": 1}',
    b'{"x": ' * 10_000,
    b"[" * 60_000,
]


async def test_queue_shows_its_configuration(edge: Edge) -> None:
    """What it does with items stands beside how many it has."""
    queue = await edge.get("/v1/queues/work")

    policy = queue["policy"]
    assert (queue["name"], queue["counts"], queue["pause"]) == ("work", NOTHING, None)
    assert (queue["slots"], queue["slots_stuck"]) == (WORK.slots, 0)
    assert queue["ready_age_seconds"] == 0
    assert policy["retry"]["max_attempts"] == WORK.retry.max_attempts
    assert policy["retention"]["dead_seconds"] == WORK.retention.dead_seconds
    assert policy["handler"] == WORK.handler_type
    assert policy["capacity_items"] == WORK.capacity_items


async def test_queues_are_listed_in_the_order_of_configuration(edge: Edge) -> None:
    """One page holds them all."""
    listed = await edge.get("/v1/queues")

    assert [queue["name"] for queue in listed["items"]] == [WORK.name, OTHER.name]
    assert listed["next_after"] is None


async def test_counts_tell_every_state_apart(edge: Edge) -> None:
    """Shown states are counted, each item once."""
    gate = Gate()
    handler = edge.house.handlers["work"]
    handler.script(b"runs", gate)
    handler.script(b"dies", GiveUp("no"))
    handler.script(b"retries", Retry("later", after_seconds=600))
    for payload in (b"runs", b"dies", b"retries", b"succeeds"):
        await edge.submit(payload)
    await edge.house.recorder.wait_for(ItemDied)
    await edge.house.recorder.wait_for(ItemSucceeded)
    await gate.reached.wait()
    await edge.submit(b"waits", Tirelessd_Delay="600")

    queue = await edge.get("/v1/queues/work")

    assert queue["counts"] == NOTHING | {
        "running": 1,
        "dead": 1,
        "retrying": 1,
        "succeeded": 1,
        "scheduled": 1,
    }
    assert queue["slots_busy"] >= 1


@pytest.mark.parametrize("path", ["", "/items", "/pause", "/resume", "/batch"])
async def test_unknown_queue_is_not_found(edge: Edge, path: str) -> None:
    """Queues exist only by configuration."""
    method = "GET" if path in {"", "/items"} else "POST"

    response = await edge.client.request(method, f"/v1/queues/nowhere{path}")

    assert (await problem_in(response))["code"] == "unknown_queue"


# --- lists -------------------------------------------------------------------


async def test_items_are_paged_in_the_order_of_acceptance(idle: Edge) -> None:
    """Following `next_after` meets every item once."""
    sent = [(await idle.submit())["id"] for _ in range(7)]

    pages: list[Any] = []
    after: dict[str, str] = {}
    while not pages or pages[-1]["next_after"]:
        pages.append(await idle.get("/v1/queues/work/items", limit="3", **after))
        after = {"after": pages[-1]["next_after"]}

    assert [[item["id"] for item in page["items"]] for page in pages] == [
        sent[:3],
        sent[3:6],
        sent[6:],
    ]
    assert "history" not in pages[0]["items"][0]


@pytest.mark.parametrize("state", ["queued", "ready", "scheduled", "cancelled"])
async def test_items_are_listed_by_stored_and_shown_states(idle: Edge, state: str) -> None:
    """Both vocabularies are understood."""
    ready = (await idle.submit())["id"]
    scheduled = (await idle.submit(Tirelessd_Delay="600"))["id"]
    cancelled = (await idle.submit())["id"]
    await idle.client.delete(f"/v1/items/{cancelled}")

    page = await idle.get("/v1/queues/work/items", state=state)

    assert {item["id"] for item in page["items"]} == {
        "queued": {ready, scheduled},
        "ready": {ready},
        "scheduled": {scheduled},
        "cancelled": {cancelled},
    }[state]


async def test_items_of_other_queues_are_not_listed(idle: Edge) -> None:
    """A queue's list is its own."""
    await idle.submit(queue="other")

    page = await idle.get("/v1/queues/work/items")

    assert page == {"items": [], "next_after": None}


async def test_malformed_query_is_refused_by_name(edge: Edge) -> None:
    """A parameter that is unknown, malformed, out of bounds or repeated is the caller's error."""
    refused = {}

    for path, query, _ in MALFORMED_QUERIES:
        response = await edge.client.get(f"{path}?{query}")
        problem = await problem_in(response)
        refused[path, query] = (response.status, problem["code"], problem["field"])

    assert refused == {
        (path, query): (400, "invalid_request", field) for path, query, field in MALFORMED_QUERIES
    }


# --- pausing -----------------------------------------------------------------


async def test_paused_queue_takes_items_and_attempts_none(edge: Edge) -> None:
    """Intake goes on; the item says what it waits for."""
    response = await edge.client.post("/v1/queues/work/pause")
    receipt = await edge.submit()

    item = await edge.get(f"/v1/items/{receipt['id']}")

    assert response.status == 200
    assert (await response.json())["pause"] == {"expires_in_seconds": None}
    assert (item["state"], item["waiting_for"]) == ("queued", "paused")
    assert len(edge.house.recorder.of(QueuePaused)) == 1


async def test_pause_can_end_by_itself(edge: Edge) -> None:
    """The answer tells how much longer."""
    response = await edge.client.post("/v1/queues/work/pause", json={"expires_in_seconds": 600})

    pause = (await response.json())["pause"]
    assert 0 < pause["expires_in_seconds"] <= 600


async def test_resumed_queue_goes_on(idle: Edge) -> None:
    """What waited is attempted."""
    await idle.submit()

    response = await idle.client.post("/v1/queues/work/resume")

    assert (await response.json())["pause"] is None
    await idle.house.recorder.wait_for(ItemSucceeded)
    assert len(idle.house.recorder.of(QueueResumed)) == 1


async def test_resuming_what_is_not_paused_is_no_error(edge: Edge) -> None:
    """The wish is fulfilled."""
    response = await edge.client.post("/v1/queues/work/resume", json={})

    assert response.status == 200


async def test_malformed_pause_is_refused(edge: Edge) -> None:
    """400, never a traceback, and the queue is not paused."""
    refused = {}

    for body in MALFORMED_PAUSES:
        response = await edge.client.post(
            "/v1/queues/work/pause", data=body, headers={"Content-Type": "application/json"}
        )
        refused[body] = (response.status, (await problem_in(response))["code"])

    assert refused == dict.fromkeys(MALFORMED_PAUSES, (400, "invalid_request"))
    assert edge.house.recorder.of(QueuePaused) == []


async def test_pause_reads_json_only(edge: Edge) -> None:
    """What calls itself something else is not looked into."""
    response = await edge.client.post(
        "/v1/queues/work/pause", data=b"{}", headers={"Content-Type": "text/plain"}
    )

    assert (await problem_in(response))["code"] == "unsupported_media_type"
