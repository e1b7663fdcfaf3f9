"""P2 and D5: of several daemons on one database one dies, or stands still, under load."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from functools import partial

import aiohttp
import pytest
from aiohttp import web

from tests.exposition import Exposition
from tests.faults.experiment import ATTEMPT_SECONDS, SLOTS, Scale
from tests.faults.pods import Pods
from tests.faults.process import DaemonProcess
from tests.faults.upstream import Hit
from tests.waiting import a_moment, wait_until

AWAY_SECONDS = 15.0


@pytest.mark.row("P2")
@pytest.mark.timeout(600)
async def test_survivor_finishes_what_a_dead_pod_began(pods: Pods, scale: Scale) -> None:
    """However often a pod is killed, the other one does what it had begun, within two leases."""
    lease_seconds = scale.pick(2.0, 5.0)
    kills = scale.pick(1, 10)
    # So that some are always under way; what is done again begins one after another.
    pods.upstream.delay_seconds = 0.05
    for _ in range(2):
        await pods.start(queue={"lease_seconds": lease_seconds})
    dying = pods.daemons[1]

    async with pods.load():
        for _ in range(kills):
            await a_moment(pods.source.uniform(1.0, scale.pick(1.5, 5.0)))
            await pods.end(dying)
            begun = await pods.leased()
            async with asyncio.TaskGroup() as group:
                group.create_task(a_moment(scale.pick(0.0, AWAY_SECONDS)))
                await wait_until(partial(pods.are_over, begun), 2 * lease_seconds + ATTEMPT_SECONDS)
            await dying.start()

    books = await pods.finish(kills=kills)
    assert len(books.acked) > 100
    assert books.duplicates <= kills * SLOTS
    assert books.total("leases_expired_total") >= kills


@pytest.mark.row("D5")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_late_results_of_a_stopped_pod_change_nothing(pods: Pods) -> None:
    """The other pod does its items; what it says when it goes on is refused, and counted so."""
    lease_seconds = 5.0
    pods.upstream.script["once_slow"] = once_slow
    stopped, _ = [await pods.start(queue={"lease_seconds": lease_seconds}) for _ in range(2)]
    begun = await filled(pods, stopped)

    stopped.send(signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        group.create_task(a_moment(3 * lease_seconds))
        await wait_until(partial(pods.are_over, begun), 2 * lease_seconds + ATTEMPT_SECONDS)
    ends = await pods.shared.rows()
    stopped.send(signal.SIGCONT)
    await wait_until(partial(is_told, pods, len(begun)), 10)

    # A process that stands still answers nobody, and its attempts are repeated on purpose.
    books = await pods.finish(without={"I4", "I9"})
    assert books.duplicates <= SLOTS
    assert ends.items() <= (books.rows or {}).items()


@pytest.mark.unhurried
async def test_intake_and_slots_are_pods_of_their_own(pods: Pods) -> None:
    """One process accepts and attempts nothing; another one attempts, and opens no API."""
    intake, slots = [await pods.start(role=role) for role in ("intake", "slots")]

    async with pods.load(rate=100):
        await wait_until(partial(has_done, pods, 50), 10)

    books = await pods.finish()
    accepted, attempted = (
        {life.total("slots"): life.total(name) for life in books.lives}
        for name in ("items_accepted_total", "attempts_total")
    )
    assert accepted == {0: len(books.acked), SLOTS: 0}
    assert attempted == {0: 0, SLOTS: len(books.acked)}
    assert ("api" in intake.urls, "api" in slots.urls) == (True, False)


async def has_done(pods: Pods, count: int) -> bool:
    """Whether so many items were delivered."""
    return len(pods.upstream.successes()) >= count


async def once_slow(hit: Hit) -> web.Response:
    """The first attempt takes a second, and later ones no time."""
    if hit.attempt == 1:
        await a_moment(1.0)
    return web.Response(text="seen")


async def filled(pods: Pods, daemon: DaemonProcess) -> Sequence[str]:
    """Every slot of a daemon taken; the items in them."""
    url = daemon.urls["api"] + "/v1/queues/work/items"
    async with aiohttp.ClientSession() as session:
        sent = [pods.ledger.submit(session, url, "once_slow") for _ in range(SLOTS)]
        begun = [entry.item_id for entry in await asyncio.gather(*sent)]

    async def is_filled() -> bool:
        return len(pods.upstream.hits) == SLOTS

    await wait_until(is_filled, 5)
    return begun


async def is_told(pods: Pods, count: int) -> bool:
    """Whether the first daemon knows of so many items that they are no longer its own."""
    said = Exposition(await pods.watch.ask("/metrics"))
    names = ("late_completions_total", "lease_renewal_failures_total")
    return sum(said.total(name) for name in names) >= count
