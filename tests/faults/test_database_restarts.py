"""D1: the database's server is killed, or restarted, under load; the daemon outlives it."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.database import Database
from tests.faults.experiment import Experiment, Scale
from tests.faults.shared import (
    CALLERS,
    HEALED_SECONDS,
    MIXED,
    RATE,
    wait_idle,
    wait_unready,
    what_unknown_fates_break,
)
from tests.waiting import a_moment


@pytest.mark.row("D1")
@pytest.mark.timeout(300)
async def test_server_that_dies_is_waited_for(
    experiment: Experiment, scale: Scale, database: Database
) -> None:
    """The postmaster is killed and comes back: 503 in time, alive, and on again within seconds."""
    await experiment.start()

    async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
        for _ in range(scale.pick(1, 5)):
            await a_moment(scale.pick(0.4, 5.0))
            await asyncio.to_thread(database.server.kill)
            await wait_unready(experiment, "refused")
            await a_moment(scale.pick(0.2, 10.0))
            await asyncio.to_thread(database.server.start)
            await experiment.heal(HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    check_refusals_are_quick(books)


@pytest.mark.row("D1")
@pytest.mark.long
@pytest.mark.timeout(300)
async def test_server_that_restarts_is_waited_for(
    experiment: Experiment, database: Database
) -> None:
    """A fast restart ends every session: the daemon is ready again within five seconds."""
    await experiment.start()

    async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
        for _ in range(5):
            await a_moment(5.0)
            await asyncio.to_thread(database.server.stop)
            await asyncio.to_thread(database.server.start)
            await experiment.heal(HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    check_refusals_are_quick(books)
