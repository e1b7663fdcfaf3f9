"""P8: whatever a handler does, its attempt is judged, the others' go on, and the daemon can end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from tests.exposition import Exposition
from tests.faults import tricks
from tests.faults.experiment import Experiment
from tests.waiting import wait_until

pytestmark = pytest.mark.unhurried

ATTEMPTS = 2
DETAIL_BYTES = 4_096
RAISING = {
    "raise_plainly": "ValueError: no such layer",
    "raise_base": "BaseException: out of everything",
    "leave": "SystemExit: 0",
    "interrupt": "KeyboardInterrupt",
    "end_generator": "GeneratorExit",
    "raise_unprintable": "Unprintable: (its message cannot be shown: SystemExit)",
    "raise_huge": "ValueError: mmm",
    "raise_chain": "ValueError: because",
    "exhaust_memory": "MemoryError",
    "recurse": "RecursionError: maximum recursion depth exceeded",
    "cancel_itself": "CancelledError",
    "answer_oddly": "its answer is no bytes, text or JSON",
    "answer_itself": "its answer is no bytes, text or JSON",
}


def queue_of(trick: str, **changes: Any) -> Mapping[str, Any]:
    """A queue whose handler is a trick, tried twice within two seconds each."""
    return {
        "handler": {
            "type": "python",
            "function": f"tests.faults.tricks:{trick}",
            "attempt_timeout_seconds": 1,
        },
        "slots": 2,
        "retry": {
            "max_attempts": ATTEMPTS,
            "initial_seconds": 0.05,
            "cap_seconds": 0.1,
            "floor_seconds": 0.01,
        },
        **changes,
    }


async def start(experiment: Experiment, *tricked: str, **changes: Any) -> None:
    """Start a daemon with a queue for each trick, its own the shortest drain there is."""
    queues = {trick: queue_of(trick) for trick in tricked}
    await experiment.start(queues=queues, drain_seconds=0.2, pre_drain_seconds=0, **changes)


async def submit(experiment: Experiment, session: aiohttp.ClientSession, queue: str) -> str:
    """Have an item accepted; its id."""
    async with session.post(experiment.url(f"/v1/queues/{queue}/items"), data=b"x") as response:
        assert response.status == 202
        return str((await response.json())["id"])


async def look(
    experiment: Experiment, session: aiohttp.ClientSession, item_id: str
) -> dict[str, Any]:
    """What the API says of an item."""
    async with session.get(experiment.url(f"/v1/items/{item_id}")) as response:
        answer: dict[str, Any] = await response.json()
        return answer


async def end_of(
    experiment: Experiment, session: aiohttp.ClientSession, item_id: str, seconds: float = 15
) -> dict[str, Any]:
    """An item, once it has ended."""

    async def has_ended() -> bool:
        return (await look(experiment, session, item_id))["finished_at"] is not None

    await wait_until(has_ended, seconds)
    return await look(experiment, session, item_id)


@pytest.mark.row("P8")
async def test_whatever_a_handler_raises_is_its_failure(experiment: Experiment) -> None:
    """Each ends dead after its attempts with a bounded reason, and the others are delivered."""
    await start(experiment, *RAISING, "log_oddly", "fine")

    async with aiohttp.ClientSession() as session:
        ids = {trick: await submit(experiment, session, trick) for trick in RAISING}
        logged = await end_of(experiment, session, await submit(experiment, session, "log_oddly"))
        fine = await end_of(experiment, session, await submit(experiment, session, "fine"))
        ends = {trick: await end_of(experiment, session, ids[trick]) for trick in RAISING}

    assert (fine["state"], logged["state"]) == ("succeeded", "succeeded")
    for trick, item in ends.items():
        assert (item["state"], item["attempts"]) == ("dead", ATTEMPTS), trick
        reasons = {(row["reason"], len(row["detail"]) <= DETAIL_BYTES) for row in item["history"]}
        assert reasons == {("handler", True)}, trick
        assert item["last_error"]["detail"].startswith(RAISING[trick]), trick
    assert await experiment.stop() == 0
    assert experiment.daemon.tracebacks() == []


@pytest.mark.row("P8")
async def test_what_a_handler_leaves_behind_ends_nothing(experiment: Experiment) -> None:
    """Tasks that exit, a stopped loop and endless threads end neither the daemon nor its drain."""
    await start(experiment, "leave_tasks", "leave_calls", "fine")

    async with aiohttp.ClientSession() as session:
        states = [
            (await end_of(experiment, session, await submit(experiment, session, queue)))["state"]
            for queue in ("leave_tasks", "leave_calls", "fine")
        ]
        alive = await experiment.daemon.probe(session, "/livez")
    began_at = asyncio.get_running_loop().time()
    code = await experiment.stop()
    seconds = asyncio.get_running_loop().time() - began_at

    told = [line["where"] for line in experiment.daemon.lines if "where" in line]
    assert (states, alive, code) == (["succeeded"] * 3, 200, 0)
    assert "a handler's code tried to end the event loop" in told
    assert seconds <= 5


@pytest.mark.row("P8")
async def test_handler_that_will_not_end_is_shown(experiment: Experiment) -> None:
    """Its item is settled; a line, /statusz and a metric say soon that its slot is not free."""
    await start(experiment, "swallow")

    async with aiohttp.ClientSession() as session:
        item = await end_of(experiment, session, await submit(experiment, session, "swallow"))

        async def is_shown() -> bool:
            said = Exposition(await experiment.watch.ask("/metrics"))
            return said.total("slots_stuck", queue="swallow") == ATTEMPTS

        await wait_until(is_shown, 5)
        async with session.get(experiment.daemon.urls["ops"] + "/statusz") as response:
            stuck = (await response.json())["queues"]["swallow"]["stuck"]
    code = await experiment.stop()

    events = [line["event"] for line in experiment.daemon.lines]
    assert (item["state"], item["last_error"]["reason"]) == ("dead", "timeout")
    assert (stuck, events.count("handler.stuck"), code) == (ATTEMPTS, ATTEMPTS, 1)


@pytest.mark.row("P8")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_handler_that_blocks_the_loop_costs_others_only_time(experiment: Experiment) -> None:
    """While it blocks nothing is answered; the lag is measured; nobody's attempt is lost by it."""
    queues = {
        "blocked": queue_of("sleep_blocking"),
        "work": {"handler": {"type": "http", "url": experiment.upstream.url}, "slots": 32},
    }
    await experiment.start(queues=queues)

    async with experiment.load(rate=100, word={"ok": 9, "slow": 1}), aiohttp.ClientSession() as s:
        await submit(experiment, s, "blocked")
        await experiment.heal(15)
        said = Exposition(await experiment.watch.ask("/metrics"))

    lag = said.total("event_loop_lag_seconds_sum")
    blocked = [line for line in experiment.daemon.lines if line["event"] == "loop.blocked"]
    assert lag >= tricks.BLOCK_SECONDS - 1
    assert "sleep_blocking" in blocked[0]["where"]
    books = await experiment.settle()
    assert books.duplicates == 0
    assert {item["attempts"] for item in books.items.values()} == {1}


@pytest.mark.row("P8")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_poison_item_ends_dead(experiment: Experiment) -> None:
    """An item that takes the process along is tried three times, and others are delivered."""
    patient = {"max_attempts": 8, "initial_seconds": 0.1, "cap_seconds": 0.1}
    queues = {"die": queue_of("die", retry=patient), "fine": queue_of("fine")}
    await experiment.start(queues=queues, pre_drain_seconds=0)
    async with aiohttp.ClientSession() as session:
        item_id = await submit(experiment, session, "die")
        for _ in range(2):
            await experiment.daemon.wait(10)
            await experiment.daemon.start()
        await experiment.daemon.wait(10)
        await experiment.daemon.start()

        poison = await end_of(experiment, session, item_id)
        fine = await end_of(experiment, session, await submit(experiment, session, "fine"))

    assert (poison["state"], poison["attempts"]) == ("dead", 3)
    assert {row["reason"] for row in poison["history"]} == {"lease_lost"}
    assert fine["state"] == "succeeded"
