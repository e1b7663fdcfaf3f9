"""P5: a process that stands still for half a minute goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.faults.conduct import LAG_SECONDS, check_latency
from tests.faults.experiment import Experiment
from tests.waiting import a_moment

RECOVERY_SECONDS = 2.0


@pytest.mark.row("P5")
@pytest.mark.timeout(200)
@pytest.mark.long
async def test_stopped_process_repeats_nothing(experiment: Experiment) -> None:
    """Attempts under way are not repeated, nothing panics, and intake is soon as quick as before.

    While it is stopped nobody answers /livez, so I9 cannot hold.
    """
    await experiment.start()
    # Few, or the crowd of callers that waits at the end of the pause is what is measured.
    async with experiment.load(rate=30, word={"ok": 9, "slow": 1}):
        await a_moment(5.0)

        experiment.daemon.send(signal.SIGSTOP)
        await a_moment(30.0)
        experiment.daemon.send(signal.SIGCONT)

        resumed_at = asyncio.get_running_loop().time()
        await experiment.heal(5)
        await a_moment(20.0)
    books = await experiment.finish(without={"I9"})

    probes = experiment.watch.seen("/livez", since=resumed_at + RECOVERY_SECONDS)
    assert max(probe.seconds - probe.rig_late_seconds for probe in probes) <= LAG_SECONDS
    assert books.duplicates == 0
    assert {item["attempts"] for item in books.items.values()} == {1}
    assert "store.failed" not in {line["event"] for line in experiment.daemon.lines}
    check_latency(books, 0.25, since=resumed_at + RECOVERY_SECONDS)
