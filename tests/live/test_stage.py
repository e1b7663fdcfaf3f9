"""Real daemons before a real Prometheus: totals, panels and rules, and faults that are told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest
import yaml

from tests.grafana.queries import Selector, selectors
from tests.live import workload
from tests.live.panels import all_queries
from tests.live.scenes import SHARED, SHORT, TOTALS
from tests.live.server import Prometheus
from tests.live.stage import IS_LONG, Outcome, Scene, Stage, scaled_rules

# Its rules judge latencies and silences, so a neighbour's load could fire them.
pytestmark = [
    pytest.mark.alone,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600 if IS_LONG else 180),
]

STEP_SECONDS: Final = 1.0
PLAY: Final = workload.long if IS_LONG else workload.short
WORKLOAD: Final = Scene("workload", "none: everything at once", PLAY, is_alone=True)
FAULTS: Final = [scene for scene in SHORT if not scene.is_silent]
CALM: Final = [scene for scene in SHORT if scene.is_silent]

# What has no series here, by the start of its name, and why.
ABSENT: Final[Mapping[str, str]] = {
    "tirelessd_store_pool_wait_seconds": "nobody waits for a connection to an embedded store",
    "tirelessd_store_dead_rows": "an embedded store has none",
    "tirelessd_store_oldest_transaction_seconds": "an embedded store has none",
    "tirelessd_metric_label_overflow_total": "no label overflows",
}


def on_stage(*scenes: Scene) -> pytest.MarkDecorator:
    """Have a test wait for each of these scenes."""
    return pytest.mark.parametrize("scene", scenes, ids=lambda scene: scene.name)


@on_stage(*FAULTS)
async def test_fault_is_told_of_and_its_end_too(stage: Stage, scene: Scene) -> None:
    """The alert fires, resolves once the fault is mended, and no other critical one is heard."""
    outcome = await stage.outcome(scene)

    assert outcome.seen
    assert set(outcome.pages) <= scene.pages


@on_stage(*CALM)
async def test_nobody_is_told_of_what_is_no_fault(stage: Stage, scene: Scene) -> None:
    """Not even by a ticket."""
    outcome = await stage.outcome(scene)

    assert outcome.fired == []


@on_stage(TOTALS)
async def test_recorded_totals_are_true(stage: Stage, scene: Scene) -> None:
    """Two embedded stores add up, state by state, though one of them is scraped twice."""
    outcome = await stage.outcome(scene)

    assert outcome.notes["recorded"] == outcome.notes["totals"]
    assert outcome.notes["totals"]["ready"] == 5
    assert outcome.notes["stores"] == 2


@on_stage(SHARED)
async def test_shared_store_counts_once(stage: Stage, scene: Scene) -> None:
    """Of two daemons on one database each tells of everything, and the totals are as it is."""
    outcome = await stage.outcome(scene)

    assert outcome.notes["recorded"] == outcome.notes["totals"]
    assert outcome.notes["totals"]["ready"] == 3
    assert outcome.notes["accepted"] == outcome.notes["sent"]
    assert outcome.notes["stores"] == 1
    assert outcome.notes["slots"] == 64


@on_stage(SHARED)
async def test_panels_of_a_shared_store_show_something(stage: Stage, scene: Scene) -> None:
    """What an embedded store has no numbers for is there, and is a number."""
    outcome = await stage.outcome(scene)

    assert outcome.notes["silent"] == []


@on_stage(WORKLOAD)
async def test_every_panel_shows_something(stage: Stage, scene: Scene) -> None:
    """Each query of each panel and annotation has samples, and one at least that is a number."""
    outcome = await stage.outcome(scene)

    empty = [
        each.place
        for each in all_queries()
        if not names_absent(each.expression)
        and not await has_data(stage.alone[scene.name], each.expression, outcome)
    ]

    assert empty == []


@on_stage(WORKLOAD)
async def test_every_rule_is_evaluated_on_something(stage: Stage, scene: Scene) -> None:
    """Prometheus finds no fault with any; what is recorded, and what alerts look at, is there."""
    outcome = await stage.outcome(scene)
    prometheus = stage.alone[scene.name]
    rules = yaml.safe_load(scaled_rules()["tirelessd"])
    each_rule = [rule for group in rules["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in each_rule if "record" in rule}
    looked_at = {
        text(selector)
        for rule in each_rule
        for selector in selectors(rule["expr"])
        if not names_absent(text(selector))
    }

    health = {rule["name"]: rule["health"] for rule in await prometheus.rules()}
    empty = [
        each
        for each in sorted(recorded | looked_at)
        if not await has_data(prometheus, each, outcome)
    ]

    assert {name for name, found in health.items() if found != "ok"} == set()
    assert empty == []


@on_stage(WORKLOAD)
async def test_nothing_is_called_absent_that_is_there(stage: Stage, scene: Scene) -> None:
    """The list of what has no series shrinks as they come."""
    outcome = await stage.outcome(scene)

    there = [
        start
        for start in ABSENT
        if await has_data(stage.alone[scene.name], f'{{__name__=~"{start}.*"}}', outcome)
    ]

    assert there == []


def names_absent(expression: str) -> bool:
    """Whether an expression is about something that has no series here."""
    return any(each.name.startswith(tuple(ABSENT)) for each in selectors(expression))


def text(selector: Selector) -> str:
    """A selector as it is written."""
    matches = (f'{each.label}{each.operator}"{each.value}"' for each in selector.matches)
    return f"{selector.name}{{{','.join(matches)}}}"


async def has_data(prometheus: Prometheus, expression: str, outcome: Outcome) -> bool:
    """Whether an expression was ever a number while a scene was played."""
    found = await prometheus.query_range(
        expression, outcome.began_at, outcome.ended_at, STEP_SECONDS
    )
    return any(series.is_any_number for series in found)
