"""D2: the server ends every session of the daemon, again and again, and hardly a caller notices."""

from __future__ import annotations

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
    what_unknown_fates_break,
)
from tests.waiting import a_moment


@pytest.mark.row("D2")
@pytest.mark.timeout(120)
async def test_sessions_that_are_ended_are_replaced(
    experiment: Experiment, scale: Scale, database: Database
) -> None:
    """Nine of ten intakes succeed meanwhile; afterwards no connection is in use for ever."""
    await experiment.start()

    async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
        for _ in range(scale.pick(3, 30)):
            await a_moment(scale.pick(0.3, 1.0))
            await database.end_sessions()
        await experiment.heal(HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    assert len(books.acked) >= 0.9 * len(books.entries)
    check_refusals_are_quick(books)
