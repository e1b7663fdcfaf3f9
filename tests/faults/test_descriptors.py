"""P7: a crowd of callers under a low limit of descriptors takes nobody else's away."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter

import aiohttp
import pytest

from tests.faults.experiment import Experiment, Scale
from tests.waiting import a_moment

LIMIT = 128
CALLERS = 500
CPU_SHARE = 0.6


async def stay(host: str, port: int, over: asyncio.Event) -> None:
    """Hold a connection for as long as one is given, and ask for another half a second later."""
    while not over.is_set():
        try:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /v1/queues HTTP/1.1\r\nHost: x\r\n\r\n")
            if await reader.read(1):
                await over.wait()
            writer.close()
        except OSError:
            pass
        await a_moment(0.5)


@pytest.mark.row("P7")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_crowd_of_callers_leaves_descriptors(experiment: Experiment, scale: Scale) -> None:
    """Accepted items are delivered, probes are answered, no spinning, no flood of lines."""
    daemon = await experiment.start()
    over, fates = asyncio.Event(), Counter[str]()
    _, _, port = daemon.urls["api"].rpartition(":")

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as crowd:
        # One connection that was there before the crowd, and is kept.
        await experiment.ledger.submit(session, experiment.url(), "ok")
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        for _ in range(CALLERS):
            crowd.create_task(stay("127.0.0.1", int(port), over))
        await a_moment(2.0)
        lines, before = len(daemon.lines), experiment.watch.look()
        for _ in range(20):
            fates[(await experiment.ledger.submit(session, experiment.url(), "ok")).fate] += 1
            assert await daemon.probe(session) == 200
            await a_moment(0.5)
        after, lines = experiment.watch.look(), len(daemon.lines) - lines
        over.set()
    heal_seconds = await experiment.heal(5)
    await experiment.finish()

    assert before is not None
    assert after is not None
    seconds = after.at - before.at
    assert fates == {"acked": 20}
    assert (after.cpu_seconds - before.cpu_seconds) / seconds < CPU_SHARE
    assert lines <= seconds
    assert heal_seconds <= 5
