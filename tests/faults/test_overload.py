"""C7: three times what the upstream can take costs nobody a promise, and nothing collapses."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.faults import conduct
from tests.faults.check import in_order
from tests.faults.experiment import Experiment
from tests.waiting import a_moment, wait_until

# So few that the rest of the rig has a machine left, however slow it is.
SLOTS = 2
UPSTREAM_SECONDS = 0.02
CAPACITY_ITEMS = 100
MEASURED_ITEMS = 300
OVERLOAD = 3.0
OVERLOAD_SECONDS = 60.0
# Enough that nobody waits for one of the load's own.
CONNECTIONS = 64
FULL_SECONDS = 5.0
NORMAL_SECONDS = 10.0
REFUSED_SECONDS = 0.1
ACCEPTED_SECONDS = 1.0
GOODPUT = 0.8
HEAL_SECONDS = 5.0


async def measure(experiment: Experiment) -> float:
    """Items a second that end while there is always another one to do."""
    async with aiohttp.ClientSession() as session:
        for _ in range(MEASURED_ITEMS):
            entry = await experiment.ledger.submit(session, experiment.url(), "ok")
            while entry.fate != "acked":
                await a_moment()
                entry = await experiment.ledger.submit(session, experiment.url(), "ok")

    async def are_done() -> bool:
        return experiment.upstream.successes().total() >= MEASURED_ITEMS

    await wait_until(are_done, 60)
    ends = sorted(hit.ended_at for hit in experiment.upstream.hits)
    # Neither the beginning, when slots wait for items, nor the end.
    first, last = ends[MEASURED_ITEMS // 3], ends[-1]
    return (MEASURED_ITEMS * 2 // 3 - 1) / (last - first)


@pytest.mark.row("C7")
@pytest.mark.long
@pytest.mark.timeout(240)
async def test_three_times_the_capacity_is_refused_and_the_rest_goes_on(
    experiment: Experiment,
) -> None:
    """The excess is told so at once, what is taken is worked off at full pace, and all heals."""
    experiment.upstream.delay_seconds = UPSTREAM_SECONDS
    await experiment.start(queue={"slots": SLOTS, "capacity_items": CAPACITY_ITEMS})
    now = asyncio.get_running_loop().time

    capacity = await measure(experiment)
    began_at = now()
    async with experiment.load(rate=OVERLOAD * capacity, connections=CONNECTIONS):
        await a_moment(OVERLOAD_SECONDS)
    ended_at = now()
    await a_moment(HEAL_SECONDS)
    healed_at = now()
    async with experiment.load(rate=capacity / 2, connections=CONNECTIONS):
        await a_moment(NORMAL_SECONDS)

    books = await experiment.finish(kills=0)
    tried = [entry for entry in books.entries if began_at <= entry.sent_at < ended_at]
    after = [entry for entry in books.entries if entry.sent_at >= healed_at]
    refused = [entry for entry in tried if entry.fate == "refused"]
    assert len(refused) >= len(tried) / 2
    assert {(entry.status, entry.answer["code"]) for entry in refused} == {(503, "queue_full")}
    slowest = in_order([entry.seconds for entry in refused], 0.99)
    assert slowest <= REFUSED_SECONDS, f"99 % of refusals took up to {slowest:.3f} s"
    conduct.check_latency(books, ACCEPTED_SECONDS, since=began_at, until=ended_at)
    done = [
        hit
        for hit in books.hits
        if began_at + FULL_SECONDS <= hit.ended_at < ended_at and hit.is_success()
    ]
    goodput = len(done) / (ended_at - began_at - FULL_SECONDS)
    assert goodput >= GOODPUT * capacity, f"{goodput:.0f}/s of {capacity:.0f}/s"
    assert {entry.fate for entry in after} == {"acked"}
    conduct.check_latency(books, 0.25, since=healed_at)
