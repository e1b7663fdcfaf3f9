"""The books: after any mixture of ends the counters, the gauges and the store agree."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)

from tests import model
from tests.exposition import Exposition
from tests.waiting import wait_until
from tirelessd.daemon import Daemon
from tirelessd.settings import parse

QUEUE = "predictions"
WAITING = ("ready", "scheduled", "retrying", "running")


class Office:
    """A daemon and both of its listeners."""

    def __init__(self, daemon: Daemon, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.api = f"http://127.0.0.1:{daemon.api_port}"
        self.ops = f"http://127.0.0.1:{daemon.ops_port}"

    async def call(self, method: str, path: str, **wishes: Any) -> Any:
        """A request to the API; its JSON answer."""
        async with self._session.request(method, self.api + path, **wishes) as response:
            return await response.json(content_type=None)

    async def submit(self, image: str, trouble: str = "", **headers: str) -> str:
        """Hand an image in."""
        wish = {"image": image, "trouble": trouble}
        answer = await self.call("POST", f"/v1/queues/{QUEUE}/items", json=wish, headers=headers)
        return str(answer["id"])

    async def scrape(self, accept: str = "text/plain") -> str:
        """The exposition as text."""
        async with self._session.get(f"{self.ops}/metrics", headers={"Accept": accept}) as answer:
            return await answer.text()

    async def counts(self) -> dict[str, int]:
        """The queue's items per shown state, by the store."""
        queue = await self.call("GET", f"/v1/queues/{QUEUE}")
        return dict(queue["counts"])

    async def wait_rest(self, states: dict[str, int]) -> None:
        """Return once the store, and the gauges made from it, hold just these items."""

        async def is_at_rest() -> bool:
            counts = await self.counts()
            shown = Exposition(await self.scrape())
            return all(counts[state] == count for state, count in states.items()) and all(
                shown.total("queue_items", queue=QUEUE, state=state) == states.get(state, 0)
                for state in (*WAITING, "dead")
            )

        await wait_until(is_at_rest, 15)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """A daemon with a quick retry policy and slots enough."""
    model.MENDED.clear()
    model.FINISH = asyncio.Event()
    retry = {
        "max_attempts": 3,
        "floor_seconds": 0.001,
        "initial_seconds": 0.01,
        "cap_seconds": 0.02,
    }
    handler = {"type": "python", "function": "tests.model:predict"}
    settings = parse(
        {
            "store": f"sqlite://{tmp_path / 'tirelessd.db'}",
            "api": {"port": 0},
            "ops": {"port": 0},
            "drain_seconds": 1.0,
            "queues": {QUEUE: {"handler": handler, "slots": 4, "retry": retry}},
        }
    )
    daemon = Daemon(settings)
    await daemon.start()
    async with aiohttp.ClientSession() as session:
        yield Office(daemon, session)
    await daemon.stop()


async def live_through_everything(office: Office) -> dict[str, int]:
    """Items that succeed, fail, die, come back, wait, expire, are cancelled and purged."""
    for n in range(20):
        await office.submit(f"good-{n}.png")
        await office.submit(f"flaky-{n}.png", "once")
    dead = [await office.submit(f"dead-{n}.png", "always") for n in range(5)]
    for n in range(3):
        await office.submit(f"hopeless-{n}.png", "hopeless")
    await office.submit("expired.png", "later", **{"Tirelessd-Deadline": "0.2"})
    await office.submit("retrying.png", "later")
    await office.submit("scheduled.png", **{"Tirelessd-Delay": "3600"})
    cancelled = await office.submit("cancelled.png", **{"Tirelessd-Delay": "3600"})
    await office.call("DELETE", f"/v1/items/{cancelled}")
    await office.submit("good-0.png", **{"Idempotency-Key": "k"})
    await office.submit("good-0.png", **{"Idempotency-Key": "k"})
    await office.wait_rest({"dead": 9, "retrying": 1, "scheduled": 1, "succeeded": 41})

    model.MENDED.update(f"dead-{n}.png" for n in range(5))
    await office.call("POST", "/v1/dead-letters/redrive", json={"ids": dead})
    await office.wait_rest({"dead": 4, "retrying": 1, "scheduled": 1, "succeeded": 46})
    await office.call("DELETE", f"/v1/dead-letters?queue={QUEUE}&reason=permanent")
    at_rest = {"dead": 1, "retrying": 1, "scheduled": 1, "succeeded": 46}
    await office.wait_rest(at_rest)
    return at_rest


async def test_identities_hold_at_rest(office: Office) -> None:
    """Nothing is counted twice or forgotten: what came in is what ended and what is left."""
    at_rest = await live_through_everything(office)

    books = Exposition(await office.scrape())
    accepted = books.total("items_accepted_total")
    redriven = books.total("dead_items_redriven_total")
    ended = books.total("items_completed_total")
    unfinished = sum(at_rest.get(state, 0) for state in WAITING)
    assert accepted + redriven == ended + unfinished
    succeeded = books.total("items_completed_total", outcome="succeeded")
    assert books.total("attempts_total", outcome="success") == succeeded == at_rest["succeeded"]
    dead, purged = books.total("items_dead_total"), books.total("dead_items_purged_total")
    assert books.total("items_completed_total", outcome="dead") == dead
    assert dead - redriven - purged == at_rest["dead"]
    ends = succeeded + dead
    assert books.total("slo_events_total", slo="success") == ends
    assert books.total("slo_good_events_total", slo="success") == succeeded
    assert books.total("slo_events_total", slo="end_to_end") == ends
    # One item more than has ended was attempted: it waits to be retried.
    assert books.total("slo_events_total", slo="wait") == ends + at_rest["retrying"]


async def test_every_attempt_is_accounted_for(office: Office) -> None:
    """Attempts less released ones are those of ended items plus those of unfinished ones."""
    await live_through_everything(office)

    books = Exposition(await office.scrape())
    items = (await office.call("GET", f"/v1/queues/{QUEUE}/items?limit=1000"))["items"]
    unfinished = sum(item["attempts"] for item in items if item["state"] in ("queued", "leased"))
    attempts = books.total("attempts_total") - books.total("attempts_total", outcome="released")
    assert attempts == books.total("item_attempts_sum") + unfinished
    assert books.total("item_attempts_count") == books.total(
        "items_completed_total", outcome="succeeded"
    ) + books.total("items_completed_total", outcome="dead")


async def test_promtool_finds_nothing_to_say(office: Office) -> None:
    """`promtool check metrics` is silent on a scrape of a daemon that has seen everything."""
    await live_through_everything(office)
    promtool = shutil.which("promtool")
    assert promtool is not None, "promtool is missing; `make test` fetches it"

    check = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, said = await check.communicate((await office.scrape()).encode())

    assert (check.returncode, said.decode()) == (0, "")


async def test_openmetrics_is_well_formed(office: Office) -> None:
    """A scraper that asks for OpenMetrics gets what the strict parser of that format accepts."""
    await live_through_everything(office)

    text = await office.scrape("application/openmetrics-text; version=1.0.0")

    names = {family.name for family in openmetrics_families(text)}
    assert {"tirelessd_items_accepted", "tirelessd_build"} <= names
    assert not any(name.endswith("_created") for name in names)
