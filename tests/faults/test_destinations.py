"""U8: a destination that hangs, fails or has lost its name costs the others nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.faults.check import in_order
from tests.faults.conduct import check_latency
from tests.faults.experiment import Experiment
from tests.faults.name_server import NameServer, believing
from tests.faults.raw_upstream import RawUpstream, answer, hanging
from tests.waiting import a_moment, wait_until

QUEUES = [f"d{number}" for number in range(10)]
HANGS, FAILS, LOST, MOVES = QUEUES[:4]
HEALTHY = QUEUES[3:]
RATE_EACH = 20.0
CALM_SECONDS = 6.0
FAULT_SECONDS = 12.0
MOVED_SECONDS = 15.0
# Below this a difference is the machine's, not the daemon's.
NOTABLE_SECONDS = 0.05


def queue_to(host: str, port: int) -> dict[str, Any]:
    """A queue with the rig's short times."""
    return {
        "handler": {
            "type": "http",
            "url": f"http://{host}.upstreams.test:{port}/",
            "attempt_timeout_seconds": 2,
            "connect_timeout_seconds": 1,
            "keepalive_seconds": 1,
        },
        "slots": 8,
        "retry": {"max_attempts": 8, "initial_seconds": 0.2, "cap_seconds": 2},
    }


@asynccontextmanager
async def loads(experiment: Experiment, words: dict[str, str]) -> AsyncIterator[None]:
    """A load on every queue, with the word it is given."""
    async with AsyncExitStack() as stack:
        for queue in QUEUES:
            path, word = f"/v1/queues/{queue}/items", words.get(queue, f"ok-{queue}")
            await stack.enter_async_context(
                experiment.load(rate=RATE_EACH, word=word, path=path, connections=2)
            )
        yield


def delivery_seconds(experiment: Experiment, since: float, until: float) -> float:
    """The p95 of the time from a submission to its request, over the healthy queues."""
    sent = {e.key: e.sent_at for e in experiment.ledger.of("acked") if since <= e.sent_at < until}
    words = {f"ok-{queue}" for queue in HEALTHY}
    hits = [hit for hit in experiment.upstream.hits if hit.word in words and hit.key in sent]
    assert len(hits) > 100
    return in_order([hit.started_at - sent[hit.key] for hit in hits], 0.95)


@pytest.mark.row("U8")
@pytest.mark.long
@pytest.mark.timeout(180)
async def test_broken_destination_costs_the_others_nothing(experiment: Experiment) -> None:
    """Beside a hanging, a failing and a nameless one, seven are delivered to as quickly as ever."""
    names = {f"{queue}.upstreams.test": "127.0.0.1" for queue in QUEUES}
    prefix = believing(experiment.folder)
    loop = asyncio.get_running_loop()
    async with RawUpstream() as upstream, NameServer(names) as server:
        upstream.replies = {"hang": hanging, "fail": answer(500, b"no")}
        experiment.upstream = upstream
        queues = {queue: queue_to(queue, upstream.port) for queue in QUEUES}
        await experiment.start(prefix=prefix, queues={"work": queues["d9"]} | queues)

        began_at = loop.time()
        async with loads(experiment, {}):
            await a_moment(CALM_SECONDS)
        calm = delivery_seconds(experiment, began_at, loop.time())
        del names[f"{LOST}.upstreams.test"]
        broken_at = loop.time()
        async with loads(experiment, {HANGS: "hang", FAILS: "fail"}):
            await a_moment(FAULT_SECONDS)
            server.is_silent = True
            silent_at = loop.time()
            await a_moment(FAULT_SECONDS)
            server.is_silent = False
        healed_at = loop.time()
        names[f"{LOST}.upstreams.test"] = "127.0.0.1"
        upstream.replies = {}
        books = await experiment.finish()

    assert delivery_seconds(experiment, broken_at, silent_at) <= max(2 * calm, NOTABLE_SECONDS)
    assert delivery_seconds(experiment, silent_at, healed_at) <= max(2 * calm, NOTABLE_SECONDS)
    check_latency(books, 0.25)


@pytest.mark.row("U8")
@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("rate", [50.0, 0.2])
async def test_moved_destination_is_found(experiment: Experiment, rate: float) -> None:
    """Within fifteen seconds a new address is used, though the old one answers and is busy."""
    names = {"moved.upstreams.test": "127.0.0.1"}
    prefix = believing(experiment.folder)
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(NameServer(names))
        old = await stack.enter_async_context(RawUpstream())
        new = await stack.enter_async_context(RawUpstream(host="127.0.0.2", port=old.port))
        new.hits = old.hits
        experiment.upstream = old
        queue = queue_to("moved", old.port)
        # Kept for longer than a move may take to be seen, so that nothing else ends them.
        queue["handler"]["keepalive_seconds"] = 20
        await experiment.start(prefix=prefix, queues={"work": queue})

        async with experiment.load(rate=rate):
            await a_moment(6)
            names["moved.upstreams.test"] = "127.0.0.2"
            moved_at = loop.time()

            async def is_found() -> bool:
                return bool(new.lines)

            await wait_until(is_found, MOVED_SECONDS)
            await a_moment(max(0.0, moved_at + MOVED_SECONDS - loop.time()))
            left_behind = len(old.lines)
            await a_moment(6)
        await experiment.finish()

    assert len(old.lines) == left_behind
