"""P1: the daemon is killed under load, again and again, and everything it promised is done."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.experiment import Experiment, Scale
from tests.waiting import a_moment

WORDS = {"ok": 8, "flaky": 1, "bad": 1}


@pytest.mark.row("P1")
@pytest.mark.timeout(400)
async def test_killed_daemon_keeps_every_promise(experiment: Experiment, scale: Scale) -> None:
    """After kills at random moments every acknowledged item ends once, and no other appears."""
    await experiment.start()
    kills = scale.pick(2, 20)
    longest = scale.pick(1.0, 8.0)
    starts = []

    async with experiment.load(word=WORDS):
        for _ in range(kills):
            await a_moment(experiment.source.uniform(0.3, longest))
            await experiment.kill()
            began_at = asyncio.get_running_loop().time()
            await experiment.daemon.start()
            starts.append(asyncio.get_running_loop().time() - began_at)
        await experiment.heal(5)

    books = await experiment.finish(kills=kills)
    assert len(books.acked) > 100
    assert books.duplicates <= scale.pick(kills * books.slots, len(books.acked) // 100)
    assert max(starts) <= scale.pick(15, 3)
