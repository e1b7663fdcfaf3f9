"""Pods that share a database are replaced one by one under load, and no caller notices."""

from __future__ import annotations

import os

import pytest

from tests.kubelet.callers import seen_by_callers
from tests.kubelet.deployment import Deployment
from tests.kubelet.figures import note
from tests.waiting import a_moment

UPDATES = int(os.environ.get("UPDATES") or 25)
BETWEEN_SECONDS = 0.3


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_rolling_updates_are_noticed_by_nobody(deployment: Deployment) -> None:
    """No item is lost or done twice, no attempt abandoned, and no caller is refused."""
    await deployment.install()

    async with deployment.callers() as callers:
        for _ in range(UPDATES):
            await callers.wait_calm()
            await a_moment(BETWEEN_SECONDS)
            await deployment.roll_out()

    books = await deployment.finish()
    seen = seen_by_callers(deployment.experiment.ledger.entries)
    drains = [line for line in books.lines if line["event"] == "drain.finished"]
    note(
        "rolling-updates",
        updates=UPDATES,
        pods=len(deployment.endings),
        accepted=len(books.acked),
        lost=len(books.lost),
        duplicates=books.duplicates,
        abandoned=sum(line["abandoned"] for line in drains),
        answers=dict(seen.answers),
        longest_end_seconds=round(max(each.seconds for each in deployment.endings), 2),
    )
    assert {ending.code for ending in deployment.endings} == {0}
    assert sum(line["abandoned"] for line in drains) == 0
    assert len(drains) >= len(deployment.endings)
    assert set(seen.answers) == {"202"}
    assert books.duplicates == 0
