"""P10 on a shared store: starts that are killed leave a schema that the next one can go on from."""

from __future__ import annotations

import pytest

from tests.faults.database import USER, Database
from tests.faults.experiment import Experiment
from tests.faults.shared import wait_idle
from tests.waiting import a_moment

KILLS = 10
EMPTY = f"DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION {USER}"
TAKE_BACK = """
DROP TABLE IF EXISTS transfers;
DELETE FROM schema_versions WHERE version > 1
"""


@pytest.mark.row("P10")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_first_start_on_a_database_may_be_killed_anywhere(
    experiment: Experiment, database: Database
) -> None:
    """Ten kills within the first second, each with or without what the last one left."""
    daemon = experiment.make_daemon()
    for number in range(KILLS):
        if number % 2:
            await database.end_sessions()
            await database.execute(EMPTY)
        await daemon.launch()
        await a_moment(experiment.source.uniform(0.3, 1.2))
        await daemon.kill()

    await daemon.start()
    async with experiment.load():
        await a_moment(2)
    await experiment.heal(5)
    await wait_idle(experiment)

    await experiment.finish(without={"I8"})  # calm was never seen before the kills
    assert daemon.tracebacks() == []


@pytest.mark.row("P10")
@pytest.mark.long
@pytest.mark.timeout(180)
async def test_migrating_start_on_a_database_may_be_killed_anywhere(
    experiment: Experiment, database: Database
) -> None:
    """What the first schema held is there, and done, after ten kills of starts that migrate."""
    await experiment.start(queue={"lease_seconds": 2})
    async with experiment.load(word="hang"):
        await a_moment(2)
    await experiment.kill()
    experiment.upstream.let_go.set()
    for _ in range(KILLS):
        await database.end_sessions()
        await database.execute(TAKE_BACK)
        await experiment.daemon.launch()
        await a_moment(experiment.source.uniform(0.4, 1.2))
        await experiment.daemon.kill()

    await experiment.daemon.start()

    await experiment.heal(10)
    await experiment.finish(without={"I3", "I6", "I8"})  # each kill may have cost an attempt
    assert len(experiment.ledger.of("acked")) > 100
