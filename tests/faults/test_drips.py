"""C1: whoever only holds connections takes none from those who use theirs, nor the shutdown."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.faults import conduct
from tests.faults.crowd import Part, Plan, crowd, room_for
from tests.faults.experiment import DRAIN_SECONDS, PRE_DRAIN_SECONDS, Experiment
from tests.faults.stranger import port_of
from tests.waiting import a_moment, wait_until
from tirelessd.api.limits import Limits

# The daemon's own.
CAP = Limits().connections
IDLE = 10_000
DRIPS = 2_000
DRIP_SECONDS = 15.0
AT_ONCE_SECONDS = 1.0
# Enough that a latency is the daemon's, and not a wait for one of the load's own connections.
CONNECTIONS = 64
SPARE_DESCRIPTORS = 250
# What the load and the upstream have of their own.
ROOM_DESCRIPTORS = 130
# Each is sent some megabytes before its buffers are full: work that no limit can tell from honest.
DEAF = 40
HEAD = "POST /v1/queues/work/items HTTP/1.1\r\nHost: t\r\n"
BODY = HEAD + "Content-Length: 1000\r\n\r\n"
MORE = "X-Name: a value of some length\r\n" * 40
ASK = "GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n"
# Some ten megabytes of answers: more than the kernel takes for somebody who does not read.
LARGE = "GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"
LARGE_TIMES = 600


@pytest.mark.row("C1")
@pytest.mark.timeout(180)
@pytest.mark.long
async def test_idle_and_dripping_connections_take_nothing_from_others(
    experiment: Experiment,
) -> None:
    """2,000 drips and 10,000 idle ones: callers notice nothing, and over the cap is closed."""
    room = room_for(IDLE + DRIPS) / (IDLE + DRIPS)
    cap = int(CAP * room)
    daemon = await experiment.start(limits={"connections": cap})
    # Most of the idle have asked before and are idle for long; those that never said a word are
    # given up as soon as the drips, so they come late.
    asked = cap * 17 // 20
    drips = int(DRIPS * room)
    parts = (
        Part("asked", asked, ASK),
        Part("dripping", drips, HEAD, MORE),
        Part("silent", int(IDLE * room) - asked),
    )
    async with experiment.load(connections=CONNECTIONS):
        await a_moment(3.0)
        began_at = asyncio.get_running_loop().time()
        async with crowd(Plan(port_of(daemon.urls["api"]), parts)) as onlookers:
            seen = experiment.watch.look()
            await a_moment(DRIP_SECONDS + 3.0)

    now, later = onlookers.gathered, onlookers.left
    assert seen is not None
    assert seen.descriptors <= cap + SPARE_DESCRIPTORS
    assert sum(group.open for group in now.values()) <= cap
    refused = [s for s in now["dripping"].held_seconds if s < AT_ONCE_SECONDS]
    assert len(refused) >= asked + drips - cap
    assert now["asked"].open == later["asked"].open == asked
    assert later["dripping"].open == later["silent"].open == 0
    assert max(later["dripping"].held_seconds) <= DRIP_SECONDS
    assert max(later["silent"].held_seconds) <= DRIP_SECONDS
    assert later["dripping"].statuses == ["408"]
    books = await experiment.finish(kills=0)
    conduct.check_latency(books, 0.2, since=began_at)


@pytest.mark.row("C1")
@pytest.mark.timeout(180)
@pytest.mark.long
@pytest.mark.parametrize(("listener", "path"), [("api", "/openapi.json"), ("ops", "/metrics")])
async def test_bodies_that_drip_and_answers_that_nobody_reads_are_ended(
    experiment: Experiment, listener: str, path: str
) -> None:
    """Each gets its seconds and no more, on both listeners; other callers notice nothing."""
    limits = {"body_seconds": 5.0, "header_seconds": 5.0, "idle_seconds": 5.0}
    daemon = await experiment.start(limits=limits)
    large = LARGE.format(path=path) * LARGE_TIMES
    parts = (Part("dripping", 200, BODY, "x" * 999), Part("deaf", DEAF, large, is_deaf=True))
    calm = experiment.watch.look()
    assert calm is not None

    async def are_given_up() -> bool:
        seen = experiment.watch.look()
        assert seen is not None
        return seen.descriptors <= calm.descriptors + ROOM_DESCRIPTORS

    async with experiment.load(connections=CONNECTIONS):
        await a_moment(2.0)
        began_at = asyncio.get_running_loop().time()
        async with crowd(Plan(port_of(daemon.urls[listener]), parts)):
            # A deaf client does not hear that it was given up; the daemon's descriptors tell.
            await wait_until(are_given_up, 45.0)

    books = await experiment.finish(kills=0)
    conduct.check_latency(books, 0.2, since=began_at)


@pytest.mark.row("C1")
@pytest.mark.timeout(180)
@pytest.mark.long
@pytest.mark.parametrize(("listener", "path"), [("api", "/openapi.json"), ("ops", "/metrics")])
async def test_connections_that_only_hold_on_cannot_hold_the_shutdown(
    experiment: Experiment, listener: str, path: str
) -> None:
    """Drips of headers and bodies, silent, idle and deaf ones: exit 0 in the usual time."""
    daemon = await experiment.start()
    large = LARGE.format(path=path) * LARGE_TIMES
    parts = (
        Part("heads", 100, HEAD, MORE),
        Part("bodies", 100, BODY, "x" * 999),
        Part("deaf", 50, large, is_deaf=True),
        Part("asked", 100, ASK),
        Part("silent", 100),
    )
    plan = Plan(port_of(daemon.urls[listener]), parts)
    async with experiment.load(connections=CONNECTIONS), crowd(plan):
        await a_moment(2.0)

        daemon.send(signal.SIGTERM)
        code = await daemon.wait(PRE_DRAIN_SECONDS + DRAIN_SECONDS + 2)

    assert code == 0
    assert experiment.ledger.of("ambiguous") == []
    await daemon.start()
    await experiment.finish(kills=0)
