"""Looking at items and cancelling them."""

from __future__ import annotations

from datetime import datetime

import msgspec
import pytest

from tests.api.conftest import WORK, MakeEdge
from tests.api.edge import UNKNOWN_ID, Edge, problem_in
from tests.engine.script import Gate
from tirelessd.core.decision import Complete
from tirelessd.core.errors import GiveUp, Retry
from tirelessd.core.events import ItemCancelled, ItemDied, ItemSucceeded


async def test_accepted_item_is_shown_whole(idle: Edge) -> None:
    """Every fact about it, under the names of the design."""
    receipt = await idle.submit(b"12345", Content_Type="a/b")

    item = await idle.get(f"/v1/items/{receipt['id']}")

    instants = {name: item.pop(name) for name in ("accepted_at", "due_at", "deadline_at")}
    assert all(datetime.fromisoformat(text).tzinfo for text in instants.values())
    assert item == {
        "id": receipt["id"],
        "queue": "work",
        "state": "queued",
        "shown_state": "ready",
        "waiting_for": "paused",
        "attempts": 0,
        "max_attempts": WORK.retry.max_attempts,
        "generation": 1,
        "priority": 4,
        "content_type": "a/b",
        "payload_bytes": 5,
        "finished_at": None,
        "dead_reason": None,
        "last_error": None,
        "history": [],
    }


async def test_succeeded_item_shows_its_failures(edge: Edge) -> None:
    """What went wrong on the way stays in the history."""
    edge.house.handlers["work"].script(b"x", Retry("not yet"), Complete(b"done", "text/plain"))
    receipt = await edge.submit(b"x")
    await edge.house.recorder.wait_for(ItemSucceeded)

    item = await edge.get(f"/v1/items/{receipt['id']}")

    (failure,) = item["history"]
    assert (item["state"], item["attempts"], item["waiting_for"]) == ("succeeded", 2, None)
    assert item["finished_at"] >= item["accepted_at"]
    assert (failure["generation"], failure["attempt"]) == (1, 1)
    assert (failure["reason"], failure["status"], failure["detail"]) == ("handler", None, "not yet")
    assert failure["duration_seconds"] >= 0
    assert datetime.fromisoformat(failure["started_at"]).tzinfo
    assert item["last_error"] == failure


async def test_dead_item_shows_its_reason(edge: Edge) -> None:
    """The end and the last failure are told apart."""
    edge.house.handlers["work"].script(b"x", GiveUp("no such model"))
    receipt = await edge.submit(b"x")
    await edge.house.recorder.wait_for(ItemDied)

    item = await edge.get(f"/v1/items/{receipt['id']}")

    assert (item["state"], item["dead_reason"]) == ("dead", "permanent")
    assert item["last_error"]["detail"] == "no such model"


async def test_running_item_is_shown_running(edge: Edge) -> None:
    """Leased is shown as running, and waits for nothing."""
    gate = Gate()
    edge.house.handlers["work"].script(b"x", gate)
    receipt = await edge.submit(b"x")
    await gate.reached.wait()

    item = await edge.get(f"/v1/items/{receipt['id']}")

    assert (item["state"], item["shown_state"]) == ("leased", "running")
    assert (item["attempts"], item["waiting_for"]) == (1, None)


@pytest.mark.parametrize("part", ["", "/payload", "/result"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_unknown_item_is_not_found(edge: Edge, method: str, part: str) -> None:
    """404 for an id that was never given out; HEAD without the document."""
    response = await edge.client.request(method, f"/v1/items/{UNKNOWN_ID}{part}")

    body = await response.read()
    assert response.status == 404
    assert (body == b"") == (method == "HEAD")


@pytest.mark.parametrize(
    "text", ["x", "1", "%00", UNKNOWN_ID[:-1], UNKNOWN_ID.replace("-", ""), "%27--", "ä", "../x"]
)
async def test_text_that_is_no_id_belongs_to_no_item(edge: Edge, text: str) -> None:
    """It is not looked for at all."""
    response = await edge.client.get(f"/v1/items/{text}/payload")

    assert response.status == 404


async def test_id_is_known_in_either_case(idle: Edge) -> None:
    """A UUID means the same in capitals (RFC 9562)."""
    receipt = await idle.submit()

    item = await idle.get(f"/v1/items/{receipt['id'].upper()}")

    assert item["id"] == receipt["id"]


# --- results -----------------------------------------------------------------


async def test_result_is_the_handlers_answer(edge: Edge) -> None:
    """Byte for byte, under its own content type."""
    edge.house.handlers["work"].script(b"x", Complete(b"\x00\xff", "image/png"))
    receipt = await edge.submit(b"x")
    await edge.house.recorder.wait_for(ItemSucceeded)

    response = await edge.client.get(f"/v1/items/{receipt['id']}/result")

    assert (response.status, await response.read()) == (200, b"\x00\xff")
    assert response.headers["Content-Type"] == "image/png"


@pytest.mark.parametrize("content_type", ["", "té/xt", "a\tb", "\ud800"])
async def test_result_type_that_fits_no_header_is_bytes(edge: Edge, content_type: str) -> None:
    """An upstream's odd content type spoils nobody's answer."""
    edge.house.handlers["work"].script(b"x", Complete(b"r", content_type.replace("\ud800", "?")))
    receipt = await edge.submit(b"x")
    await edge.house.recorder.wait_for(ItemSucceeded)

    response = await edge.client.get(f"/v1/items/{receipt['id']}/result")

    assert await response.read() == b"r"
    assert response.headers["Content-Type"] in {"application/octet-stream", "?"}


async def test_result_is_refused_before_the_end(idle: Edge) -> None:
    """409 with the state that the item is in."""
    receipt = await idle.submit()

    response = await idle.client.get(f"/v1/items/{receipt['id']}/result")

    problem = await problem_in(response)
    assert (response.status, problem["code"], problem["state"]) == (409, "not_finished", "queued")


async def test_ended_without_a_result_is_not_found(idle: Edge) -> None:
    """A cancelled item has none, and never will."""
    receipt = await idle.submit()
    await idle.client.delete(f"/v1/items/{receipt['id']}")

    response = await idle.client.get(f"/v1/items/{receipt['id']}/result")

    problem = await problem_in(response)
    assert (response.status, problem["code"]) == (404, "no_result")


# --- cancelling --------------------------------------------------------------


async def test_queued_item_can_be_cancelled(idle: Edge) -> None:
    """200 with the item as it is now, and it is never attempted."""
    receipt = await idle.submit()

    response = await idle.client.delete(f"/v1/items/{receipt['id']}")

    item = await response.json()
    assert (response.status, item["state"]) == (200, "cancelled")
    assert item["finished_at"]


async def test_cancelling_again_changes_nothing(idle: Edge) -> None:
    """The second call is answered as the first, and tells nobody."""
    receipt = await idle.submit()
    first = await (await idle.client.delete(f"/v1/items/{receipt['id']}")).json()

    second = await idle.client.delete(f"/v1/items/{receipt['id']}")

    assert (second.status, await second.json()) == (200, first)
    assert len(idle.house.recorder.of(ItemCancelled)) == 1


async def test_running_item_cannot_be_cancelled(edge: Edge) -> None:
    """409 with the state that stands in the way."""
    gate = Gate()
    edge.house.handlers["work"].script(b"x", gate)
    receipt = await edge.submit(b"x")
    await gate.reached.wait()

    response = await edge.client.delete(f"/v1/items/{receipt['id']}")

    problem = await problem_in(response)
    assert (response.status, problem["code"], problem["state"]) == (
        409,
        "not_cancellable",
        "leased",
    )


async def test_ended_item_cannot_be_cancelled(edge: Edge) -> None:
    """An end is an end."""
    receipt = await edge.submit()
    await edge.house.recorder.wait_for(ItemSucceeded)

    response = await edge.client.delete(f"/v1/items/{receipt['id']}")

    problem = await problem_in(response)
    assert (response.status, problem["state"]) == (409, "succeeded")


async def test_unknown_item_cannot_be_cancelled(edge: Edge) -> None:
    """404, as for every other question about it."""
    response = await edge.client.delete(f"/v1/items/{UNKNOWN_ID}")

    assert (await problem_in(response))["code"] == "unknown_item"


async def test_cancelling_frees_a_place(make_edge: MakeEdge) -> None:
    """A full queue takes another item for a cancelled one."""
    small = await make_edge(msgspec.structs.replace(WORK, capacity_items=1))
    await small.pause()
    receipt = await small.submit()

    await small.client.delete(f"/v1/items/{receipt['id']}")

    assert (await small.submit())["state"] == "queued"
