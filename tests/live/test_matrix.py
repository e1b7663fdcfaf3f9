"""V4 in its long form, behind `make observe`: every alert that a fault can fire here, fired."""

from __future__ import annotations

import pytest

from grafana.source.rules import ALERTS
from tests.live.long_scenes import LONG
from tests.live.report import UNFIRED
from tests.live.scenes import SHORT
from tests.live.stage import Scene, Stage

pytestmark = [
    pytest.mark.alone,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(1_200),
]

FAULTS = [scene for scene in (*LONG, *SHORT) if not scene.is_silent]


@pytest.mark.parametrize("scene", FAULTS, ids=lambda scene: scene.name)
async def test_fault_is_told_of_and_its_end_too(stage: Stage, scene: Scene) -> None:
    """The alerts fire, resolve once the fault is mended, and no other critical one is heard."""
    outcome = await stage.outcome(scene)

    assert outcome.seen
    assert set(outcome.pages) <= scene.pages


async def test_every_alert_was_seen(stage: Stage) -> None:
    """Or there is a reason why none can be, which still holds."""
    seen = await stage.all_seen()

    alerts = {alert.name for alert in ALERTS}
    assert alerts - {each.alert for each in seen} == UNFIRED.keys()
