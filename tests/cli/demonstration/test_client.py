"""The demo's client against a real daemon: submitting, counting, dead letters page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.waiting import wait_until
from tirelessd.cli.demonstration import client as demo_client
from tirelessd.cli.demonstration.client import QUEUE, Client, Counters
from tirelessd.cli.demonstration.process import DemoFailed, running_daemon

PATIENCE_SECONDS = 10.0
NOBODY = "http://127.0.0.1:9/predict"


@asynccontextmanager
async def connected(folder: Path, **queue: Any) -> AsyncIterator[Client]:
    """A client of a daemon whose one queue is as given."""
    config = {
        "store": f"sqlite://{folder}/t.db",
        "api": {"port": 0},
        "ops": {"port": 0},
        "log": {"format": "json"},
        "queues": {QUEUE: queue},
    }
    async with (
        running_daemon(folder, config) as addresses,
        aiohttp.ClientSession() as session,
    ):
        yield Client(session, addresses)


async def wait_ended(client: Client, items: int, outcome: str) -> Counters:
    """The counters, once so many items have ended so."""

    async def has_ended() -> bool:
        counters = await client.counters()
        return counters.total("items_completed", outcome=outcome) == items

    await wait_until(has_ended, PATIENCE_SECONDS)
    return await client.counters()


async def test_submitted_items_are_counted(folder: Path) -> None:
    """What was answered 202 is what the daemon counts as accepted."""
    async with connected(folder, handler={"type": "echo"}) as client:
        await client.submit(range(1, 26))
        counters = await wait_ended(client, 25, "succeeded")

    assert client.accepted == 25
    assert counters.total("items_accepted") == 25
    assert counters.total("attempts", outcome="success") == 25
    assert counters.total("items_dead") == 0


async def test_dead_letters_are_read_page_by_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every dead letter is there with its number, in the order of the numbers."""
    monkeypatch.setattr(demo_client, "PAGE", 2)
    handler = {"type": "http", "url": NOBODY}

    async with connected(folder, handler=handler, retry={"max_attempts": 1}) as client:
        await client.submit(range(1, 6))
        await wait_ended(client, 5, "dead")
        letters = await client.dead_letters()

    assert [letter.item for letter in letters] == [1, 2, 3, 4, 5]
    assert {letter.attempts for letter in letters} == {1}
    assert all(letter.last_error for letter in letters)


async def test_waiting_items_are_retrying(folder: Path) -> None:
    """An item between two attempts is one that retries."""
    handler = {"type": "http", "url": NOBODY}
    retry = {"floor_seconds": 100, "initial_seconds": 100, "cap_seconds": 100}

    async with connected(folder, handler=handler, retry=retry) as client:
        await client.submit([1, 2])

        async def are_retrying() -> bool:
            return await client.retrying() == 2

        await wait_until(are_retrying, PATIENCE_SECONDS)
        letters = await client.dead_letters()

    assert letters == []


async def test_refusal_is_told(folder: Path) -> None:
    """A refused submission ends the demo with the daemon's own words."""
    handler = {"type": "http", "url": NOBODY}

    async with connected(folder, handler=handler, capacity_items=1) as client:
        await client.submit([1])

        with pytest.raises(DemoFailed, match=r"answered 503: .*queue_full"):
            await client.submit([2])


def test_counters_are_of_one_queue() -> None:
    """Series of other queues, and of other labels, are left out of a total."""
    counters = Counters(
        "# TYPE tirelessd_attempts_total counter\n"
        'tirelessd_attempts_total{queue="predictions",outcome="retry"} 2.0\n'
        'tirelessd_attempts_total{queue="predictions",outcome="success"} 3.0\n'
        'tirelessd_attempts_total{queue="other",outcome="success"} 5.0\n'
    )

    assert counters.total("attempts") == 5
    assert counters.total("attempts", outcome="success") == 3
    assert counters.total("attempts", outcome="released") == 0


async def test_interrupted_submission_is_interrupted(folder: Path) -> None:
    """A cancelled submission passes the cancellation on."""
    async with connected(folder, handler={"type": "echo"}) as client, asyncio.TaskGroup() as group:
        submitting = group.create_task(client.submit(range(1, 1_000)))
        await asyncio.sleep(0)

        submitting.cancel()

    assert submitting.cancelled()
