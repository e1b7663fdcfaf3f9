"""V4: a fault on a real daemon fires its alert in a real Prometheus, nobody else is woken."""

from __future__ import annotations

import pytest

from tests.live.scenes import SHORT, TOTALS
from tests.live.stage import Scene, Stage

# Its rules judge latencies and silences, so a neighbour's load could fire them.
pytestmark = [
    pytest.mark.alone,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

FAULTS = [scene for scene in SHORT if not scene.is_silent]
CALM = [scene for scene in SHORT if scene.is_silent]


@pytest.mark.parametrize("scene", FAULTS, ids=lambda scene: scene.name)
async def test_fault_is_told_of_and_its_end_too(stage: Stage, scene: Scene) -> None:
    """The alert fires, resolves once the fault is mended, and no other critical one is heard."""
    outcome = await stage.outcome(scene)

    assert outcome.seen
    assert set(outcome.pages) <= scene.pages


@pytest.mark.parametrize("scene", CALM, ids=lambda scene: scene.name)
async def test_nobody_is_told_of_what_is_no_fault(stage: Stage, scene: Scene) -> None:
    """Not even by a ticket."""
    outcome = await stage.outcome(scene)

    assert outcome.fired == []


@pytest.mark.parametrize("scene", [TOTALS], ids=lambda scene: scene.name)
async def test_recorded_totals_are_true(stage: Stage, scene: Scene) -> None:
    """Two embedded stores add up, state by state, though one of them is scraped twice."""
    outcome = await stage.outcome(scene)

    assert outcome.notes["recorded"] == outcome.notes["totals"]
    assert outcome.notes["totals"]["ready"] == 5
    assert outcome.notes["stores"] == 2
