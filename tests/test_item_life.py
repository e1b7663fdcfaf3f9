"""The life of an item, over HTTP, against the whole daemon. Read this one first.

An item is accepted, attempted, and ends: succeeded, dead or cancelled. Each test tells one way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import model
from tests.waiting import wait_until
from tirelessd.daemon import Daemon
from tirelessd.settings import parse

PATIENCE_SECONDS = 10.0


class Caller:
    """Somebody with work, who knows nothing but the URL."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, path: str, **wishes: Any) -> tuple[int, Any]:
        """A request; its status and JSON answer."""
        async with self._session.request(method, path, **wishes) as response:
            return response.status, await response.json(content_type=None)

    async def submit(self, image: str, trouble: str = "", **headers: str) -> str:
        """Hand an image in; the item's id."""
        status, answer = await self.call(
            "POST",
            "/v1/queues/predictions/items",
            json={"image": image, "trouble": trouble},
            headers=headers,
        )
        assert status == 202, answer
        return str(answer["id"])

    async def item(self, item_id: str) -> Any:
        """The item as it stands."""
        status, item = await self.call("GET", f"/v1/items/{item_id}")
        assert status == 200
        return item

    async def item_once(self, item_id: str, state: str) -> Any:
        """The item, once it is shown in a state."""

        async def is_there() -> bool:
            return bool((await self.item(item_id))["shown_state"] == state)

        await wait_until(is_there, PATIENCE_SECONDS)
        return await self.item(item_id)


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    """A caller of a daemon with one queue, whose items are tried three times, quickly."""
    model.MENDED.clear()
    model.FINISH = asyncio.Event()
    settings = parse(
        {
            "store": f"sqlite://{tmp_path / 'tirelessd.db'}",
            "api": {"port": 0},
            "ops": {"port": 0},
            "drain_seconds": 1.0,
            "queues": {
                "predictions": {
                    "handler": {"type": "python", "function": "tests.model:predict"},
                    "slots": 2,
                    "retry": {
                        "max_attempts": 3,
                        "floor_seconds": 0.001,
                        "initial_seconds": 0.01,
                        "cap_seconds": 0.02,
                    },
                }
            },
        }
    )
    daemon = Daemon(settings)
    await daemon.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{daemon.api_port}") as session:
        yield Caller(session)
    await daemon.stop()


async def test_item_succeeds(caller: Caller) -> None:
    """An accepted item is attempted, and its handler's answer is kept as the result."""
    item_id = await caller.submit("tom.png")

    item = await caller.item_once(item_id, "succeeded")
    _, result = await caller.call("GET", f"/v1/items/{item_id}/result")

    assert (item["attempts"], item["history"]) == (1, [])
    assert result == {"image": "tom.png", "label": "cat"}


async def test_item_fails_and_is_tried_again(caller: Caller) -> None:
    """A failed attempt goes into the history, and another one follows by itself."""
    item_id = await caller.submit("tom.png", "once")

    item = await caller.item_once(item_id, "succeeded")

    assert item["attempts"] == 2
    assert [(row["attempt"], row["reason"]) for row in item["history"]] == [(1, "handler")]
    assert item["last_error"]["detail"] == "ConnectionError: the model server hung up"


async def test_item_waits_for_its_next_attempt_without_a_slot(caller: Caller) -> None:
    """Between two attempts an item is retrying: it waits for its backoff, in the store."""
    item_id = await caller.submit("tom.png", "later")

    item = await caller.item_once(item_id, "retrying")
    _, queue = await caller.call("GET", "/v1/queues/predictions")

    assert (item["state"], item["waiting_for"]) == ("queued", "backoff")
    assert queue["counts"]["retrying"] == 1


async def test_item_is_given_up_mended_and_redriven(caller: Caller) -> None:
    """After its last attempt an item is a dead letter, which an operator can put back."""
    item_id = await caller.submit("tom.png", "always")
    dead = await caller.item_once(item_id, "dead")
    assert (dead["attempts"], dead["last_error"]["reason"]) == (3, "handler")
    _, letters = await caller.call("GET", "/v1/dead-letters?queue=predictions")
    assert [letter["id"] for letter in letters["items"]] == [item_id]

    model.MENDED.add("tom.png")
    _, redriven = await caller.call("POST", "/v1/dead-letters/redrive", json={"ids": [item_id]})

    item = await caller.item_once(item_id, "succeeded")
    assert redriven == {"count": 1, "remaining": 0}
    assert (item["generation"], item["attempts"], len(item["history"])) == (2, 1, 3)


async def test_hopeless_item_is_given_up_at_once(caller: Caller) -> None:
    """When a handler says that no attempt can help, none is wasted."""
    item_id = await caller.submit("invoice.pdf", "hopeless")

    item = await caller.item_once(item_id, "dead")

    assert item["attempts"] == 1
    assert item["last_error"]["reason"] == "permanent"


async def test_item_is_cancelled_before_it_runs(caller: Caller) -> None:
    """A queued item can be cancelled, once and for all; a running one cannot."""
    item_id = await caller.submit("tom.png", **{"Tirelessd-Delay": "3600"})
    waiting = await caller.item(item_id)
    assert (waiting["shown_state"], waiting["waiting_for"]) == ("scheduled", "delay")

    status, item = await caller.call("DELETE", f"/v1/items/{item_id}")
    again, _ = await caller.call("DELETE", f"/v1/items/{item_id}")

    assert (status, again, item["state"]) == (200, 200, "cancelled")


async def test_running_item_cannot_be_cancelled(caller: Caller) -> None:
    """Once a slot has the item, the answer to a cancel is 409 with the state."""
    item_id = await caller.submit("tom.png", "slow")
    await caller.item_once(item_id, "running")

    status, problem = await caller.call("DELETE", f"/v1/items/{item_id}")

    assert (status, problem["code"], problem["state"]) == (409, "not_cancellable", "leased")
    model.FINISH.set()
    await caller.item_once(item_id, "succeeded")


async def test_item_expires(caller: Caller) -> None:
    """An item that is not done by its deadline ends dead, also while it waits."""
    item_id = await caller.submit("tom.png", "later", **{"Tirelessd-Deadline": "0.2"})

    item = await caller.item_once(item_id, "dead")

    assert item["dead_reason"] == "expired"


async def test_item_submitted_twice_is_one_item(caller: Caller) -> None:
    """A caller that lost the answer asks again with the same key, and gets the same item."""
    first = await caller.submit("tom.png", **{"Idempotency-Key": "order-7"})
    second = await caller.submit("tom.png", **{"Idempotency-Key": "order-7"})

    status, problem = await caller.call(
        "POST",
        "/v1/queues/predictions/items",
        json={"image": "another.png"},
        headers={"Idempotency-Key": "order-7"},
    )

    assert first == second
    assert (status, problem["code"]) == (422, "idempotency_key_reused")


async def test_paused_queue_takes_items_and_starts_none(caller: Caller) -> None:
    """Operators can hold a queue: items are accepted and wait until it is resumed."""
    status, queue = await caller.call("POST", "/v1/queues/predictions/pause")
    assert status == 200, queue
    item_id = await caller.submit("tom.png")
    item = await caller.item(item_id)
    assert (item["state"], item["waiting_for"]) == ("queued", "paused")

    await caller.call("POST", "/v1/queues/predictions/resume")

    await caller.item_once(item_id, "succeeded")
