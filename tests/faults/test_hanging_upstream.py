"""U1: an upstream that hangs, then drips, costs attempts of two seconds and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conduct import check_latency
from tests.faults.experiment import ATTEMPT_SECONDS, Experiment
from tests.faults.raw_upstream import RawUpstream, Wire, hanging
from tests.waiting import a_moment

CALM_SECONDS = 5.0
FAULT_SECONDS = 6.0
LATE_SECONDS = 0.5


async def drip_head(wire: Wire) -> int:
    """A head, one byte in a second."""
    await wire.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1.0)
    return 0


async def drip_body(wire: Wire) -> int:
    """A head at once, and a body of one byte in a second."""
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    await wire.drip(b"x" * 100, 1.0)
    return 0


@pytest.mark.row("U1")
@pytest.mark.long
@pytest.mark.timeout(180)
async def test_hanging_upstream_costs_only_attempts(experiment: Experiment) -> None:
    """Each attempt ends at its timeout, intake is not slowed, and the backlog drains after."""
    async with RawUpstream() as upstream:
        experiment.upstream = upstream
        await experiment.start()

        async with experiment.load():
            await a_moment(CALM_SECONDS)
            fault_at = asyncio.get_running_loop().time()
            for reply in (hanging, drip_head, drip_body):
                upstream.always = reply
                await a_moment(FAULT_SECONDS)
            upstream.always = None
            healed_at = asyncio.get_running_loop().time()
        await experiment.heal(60)
        books = await experiment.finish()

    held = [
        hit.ended_at - hit.started_at
        for hit in books.hits
        if hit.status == 0 and fault_at <= hit.started_at < healed_at
    ]
    assert len(held) > 32
    assert min(held) >= ATTEMPT_SECONDS - LATE_SECONDS
    assert max(held) <= ATTEMPT_SECONDS + LATE_SECONDS
    check_latency(books, 0.25)
