"""U3: half a minute of 500s is sat out by the configured waits, and the daemon stays ready."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conduct import check_latency
from tests.faults.experiment import Experiment
from tests.waiting import a_moment

CALM_SECONDS = 5.0
OUTAGE_SECONDS = 30.0
FLOOR_SECONDS = 0.1
INITIAL_SECONDS = 0.2
CAP_SECONDS = 2.0
# A log line rounds a wait to the millisecond.
ROUNDED_SECONDS = 0.001


def bound_seconds(attempt: int) -> float:
    """The longest wait after an attempt, by the policy of the rig."""
    return min(CAP_SECONDS, INITIAL_SECONDS * 2.0 ** (attempt - 1))


@pytest.mark.row("U3")
@pytest.mark.long
@pytest.mark.timeout(180)
async def test_outage_is_sat_out_by_the_policy(experiment: Experiment) -> None:
    """Every wait lies within its bound, nobody is tried too often, and the daemon stays ready."""
    daemon = await experiment.start()

    began_at = asyncio.get_running_loop().time()
    async with experiment.load():
        await a_moment(CALM_SECONDS)
        experiment.upstream.outage_status = 500
        await a_moment(OUTAGE_SECONDS)
        experiment.upstream.outage_status = 0
    await experiment.heal(60)
    healed_at = asyncio.get_running_loop().time()

    books = await experiment.finish()
    waits = [
        (int(line["attempt"]), float(line["retry_in_seconds"]))
        for line in daemon.lines
        if line.get("retry_in_seconds") is not None
    ]
    assert len(waits) > 100
    for attempt, seconds in waits:
        assert FLOOR_SECONDS <= seconds <= bound_seconds(attempt) + ROUNDED_SECONDS
    check_seen_waits(experiment)
    probes = [probe for probe in experiment.watch.seen("/readyz", began_at) if probe.at < healed_at]
    assert {probe.status for probe in probes} == {200}
    check_latency(books, 0.25)


def check_seen_waits(experiment: Experiment) -> None:
    """The upstream saw no attempt sooner than the shortest wait after the one before."""
    last: dict[str, float] = {}
    for hit in sorted(experiment.upstream.hits, key=lambda hit: hit.started_at):
        if hit.key in last:
            assert hit.started_at - last[hit.key] >= FLOOR_SECONDS, hit
        last[hit.key] = hit.ended_at
