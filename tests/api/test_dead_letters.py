"""Dead letters: listed, put back, deleted, and never all of them by accident."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.api.edge import UNKNOWN_ID, Edge, problem_in
from tirelessd.core.errors import GiveUp, Retry
from tirelessd.core.events import DeadItemsPurged, ItemDied, ItemsRedriven

DEAD = "/v1/dead-letters"

UNCLEAR_REDRIVES = [
    b"",
    b"{}",
    b"[]",
    b"x",
    b'{"all": false}',
    b'{"all": 1}',
    b'{"all": "true"}',
    b'{"dry_run": true}',
    b'{"filter": {}}',
    b'{"filter": {"queue": ""}}',
    b'{"filter": {"reason": "boredom"}}',
    b'{"filter": {"quue": "work"}}',
    b'{"filter": {"queue": null}}',
    b'{"filter": {"queue": "work"}, "all": true}',
    b'{"ids": []}',
    b'{"ids": ["x"]}',
    b'{"ids": [1]}',
    b'{"ids": null}',
    b'{"ids": ["01999999-0000-7000-8000-000000000000"], "all": true}',
    b'{"ids": [' + b",".join([b'"01999999-0000-7000-8000-000000000000"'] * 1_001) + b"]}",
    b'{"id": "01999999-0000-7000-8000-000000000000"}',
]
UNCLEAR_PURGES = [
    "",
    "all=false",
    "all=yes",
    "all=true&queue=work",
    "dry_run=true",
    "ids=",
    "ids=x",
    f"ids={UNKNOWN_ID},",
    f"ids={UNKNOWN_ID}&ids={UNKNOWN_ID}",
    f"ids={UNKNOWN_ID}&all=true",
    "queue=",
    "reason=boredom",
    "quue=work",
    "limit=1",
]


@pytest.fixture
async def graveyard(edge: Edge) -> Edge:
    """Three dead letters: of `work` one permanent and one out of attempts, of `other` one."""
    handlers = edge.house.handlers
    handlers["work"].script(b"permanent", GiveUp("no"))
    handlers["work"].script(b"attempts", Retry(), Retry(), Retry())
    handlers["other"].script(b"permanent", GiveUp("no"))
    for number, (payload, queue) in enumerate(
        [(b"permanent", "work"), (b"attempts", "work"), (b"permanent", "other")], 1
    ):
        await edge.submit(payload, queue)
        await edge.house.recorder.wait_for(ItemDied, number)
    return await edge.pause()


async def names(edge: Edge, **query: str) -> list[tuple[str, str]]:
    """Queue and reason of the dead letters that are listed."""
    page = await edge.get(DEAD, **query)
    return [(item["queue"], item["dead_reason"]) for item in page["items"]]


async def test_dead_letters_are_listed_in_the_order_of_their_death(graveyard: Edge) -> None:
    """Each with its last error."""
    page = await graveyard.get(DEAD)

    assert [(item["queue"], item["dead_reason"]) for item in page["items"]] == [
        ("work", "permanent"),
        ("work", "max_attempts"),
        ("other", "permanent"),
    ]
    assert page["items"][0]["last_error"]["detail"] == "no"
    assert page["next_after"] is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"queue": "work"}, 2),
        ({"reason": "permanent"}, 2),
        ({"queue": "work", "reason": "permanent"}, 1),
        ({"queue": "gone-from-configuration"}, 0),
        ({"queue": "null"}, 0),
        ({"reason": "expired"}, 0),
    ],
)
async def test_dead_letters_are_filtered(
    graveyard: Edge, query: dict[str, str], count: int
) -> None:
    """By queue, by reason, by both; a queue need not be configured any more."""
    found = await names(graveyard, **query)

    assert len(found) == count


async def test_dead_letters_are_paged(graveyard: Edge) -> None:
    """Following `next_after` meets each once."""
    first = await graveyard.get(DEAD, limit="2")

    second = await graveyard.get(DEAD, limit="2", after=first["next_after"])

    ids = [item["id"] for page in (first, second) for item in page["items"]]
    assert (len(ids), len(set(ids)), second["next_after"]) == (3, 3, None)


async def ids_of(edge: Edge, **query: str) -> list[str]:
    """The ids of the dead letters that are listed."""
    return [item["id"] for item in (await edge.get(DEAD, **query))["items"]]


async def test_redriven_item_starts_anew_with_its_history(graveyard: Edge) -> None:
    """Due now, attempts and deadline fresh, a generation further."""
    (dead,) = await ids_of(graveyard, queue="work", reason="max_attempts")

    response = await graveyard.client.post(f"{DEAD}/redrive", json={"ids": [dead]})

    item = await graveyard.get(f"/v1/items/{dead}")
    assert await response.json() == {"count": 1, "remaining": 0}
    assert (item["state"], item["attempts"], item["generation"]) == ("queued", 0, 2)
    assert [(row["generation"], row["attempt"]) for row in item["history"]] == [
        (1, 1),
        (1, 2),
        (1, 3),
    ]
    assert [event.count for event in graveyard.house.recorder.of(ItemsRedriven)] == [1]


WISHES: list[tuple[Mapping[str, Any], int]] = [
    ({"all": True}, 3),
    ({"filter": {"queue": "work"}}, 2),
    ({"filter": {"reason": "permanent"}}, 2),
    ({"filter": {"queue": "other", "reason": "permanent"}}, 1),
    ({"filter": {"queue": "nowhere"}}, 0),
    ({"ids": [UNKNOWN_ID]}, 0),
    ({"ids": [UNKNOWN_ID], "all": False}, 0),
]


@pytest.mark.parametrize(("wish", "count"), WISHES)
async def test_redrive_takes_what_is_meant(
    graveyard: Edge, wish: dict[str, Any], count: int
) -> None:
    """By ids, by filter, or all of them when that is said."""
    dry = await graveyard.client.post(f"{DEAD}/redrive", json={**wish, "dry_run": True})
    left = len(await names(graveyard))

    wet = await graveyard.client.post(f"{DEAD}/redrive", json=wish)

    assert (await dry.json())["count"] == count
    assert left == 3
    assert (await wet.json())["count"] == count
    assert len(await names(graveyard)) == 3 - count


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("all=true", 3),
        ("queue=work", 2),
        ("reason=permanent", 2),
        ("queue=other&reason=permanent", 1),
        (f"ids={UNKNOWN_ID}", 0),
    ],
)
async def test_purge_takes_what_is_meant(graveyard: Edge, query: str, count: int) -> None:
    """The same names, in the query."""
    dry = await graveyard.client.delete(f"{DEAD}?{query}&dry_run=true")
    left = len(await names(graveyard))

    wet = await graveyard.client.delete(f"{DEAD}?{query}")

    assert (await dry.json())["count"] == count
    assert left == 3
    assert await wet.json() == {"count": count, "remaining": 0}
    assert len(await names(graveyard)) == 3 - count


async def test_purged_items_are_gone(graveyard: Edge) -> None:
    """Ids are separated by commas; nobody finds the items afterwards."""
    dead = await ids_of(graveyard)

    await graveyard.client.delete(f"{DEAD}?ids={','.join(dead)}")

    response = await graveyard.client.get(f"/v1/items/{dead[0]}")
    assert response.status == 404
    purged = graveyard.house.recorder.of(DeadItemsPurged)
    assert sum(event.count for event in purged) == 3
    assert {event.source for event in purged} == {"operator"}


async def test_unclear_redrive_is_refused(graveyard: Edge) -> None:
    """Nobody means all by leaving something out."""
    refused = {}

    for body in UNCLEAR_REDRIVES:
        response = await graveyard.client.post(
            f"{DEAD}/redrive", data=body, headers={"Content-Type": "application/json"}
        )
        refused[body] = (response.status, (await problem_in(response))["code"])

    assert refused == dict.fromkeys(UNCLEAR_REDRIVES, (400, "invalid_request"))
    assert len(await names(graveyard)) == 3


async def test_unclear_purge_is_refused(graveyard: Edge) -> None:
    """Deleting asks for the same care."""
    refused = {}

    for query in UNCLEAR_PURGES:
        response = await graveyard.client.delete(f"{DEAD}?{query}")
        refused[query] = (response.status, (await problem_in(response))["code"])

    assert refused == dict.fromkeys(UNCLEAR_PURGES, (400, "invalid_request"))
    assert len(await names(graveyard)) == 3


async def test_bulk_call_tells_what_is_left(edge: Edge) -> None:
    """At most 1 000 a call, and the answer says to come again."""
    handler = edge.house.handlers["work"]
    handler.script(b"1", *(GiveUp("no") for _ in range(1_003)))
    response = await edge.send_lines(*([b'{"payload":1}'] * 1_003))
    assert response.status == 202
    await edge.house.recorder.wait_for(ItemDied, 1_003)
    await edge.pause()

    first = await edge.client.post(f"{DEAD}/redrive", json={"all": True})
    second = await edge.client.delete(f"{DEAD}?all=true")

    assert await first.json() == {"count": 1_000, "remaining": 3}
    assert await second.json() == {"count": 3, "remaining": 0}
