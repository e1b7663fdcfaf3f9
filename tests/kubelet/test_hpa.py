"""The autoscaler's arithmetic, and what the chart's recipe makes of ten times the load."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.kubelet.hpa import Autoscaler
from tests.kubelet.plant import Plant, Weather, turns
from tests.kubelet.recipe import recipe_of_chart

BEFORE_SECONDS, HIGH_SECONDS, AFTER_SECONDS = 600, 3_600, 3_600
STEP = 10
ABSORBED_SECONDS, EMPTY_SECONDS = 180, 300
# What the load's own ups and downs leave over for the next second.
A_BREATH_SECONDS = 1.0


@pytest.mark.parametrize(
    ("current", "values", "expected"),
    [
        pytest.param(2, (1.4, 0.0), 2, id="on target"),
        pytest.param(2, (1.5, 0.0), 2, id="within the tolerance"),
        pytest.param(2, (1.6, 0.0), 3, id="above it"),
        pytest.param(2, (0.1, 80.0), 3, id="the signal that wants most is heard"),
        pytest.param(1, (20.0, 0.0), 5, id="four pods at once"),
        pytest.param(6, (20.0, 0.0), 10, id="as many again, and never too many"),
        pytest.param(4, (None, 0.0), 4, id="none is taken away by somebody who cannot see"),
        pytest.param(2, (None, 80.0), 3, id="some may be added all the same"),
    ],
)
def test_as_many_pods_as_the_signals_ask_for(
    current: int, values: tuple[float | None, float | None], expected: int
) -> None:
    """The ratio to the target, rounded up, within the tolerance and the policies."""
    scaler = Autoscaler(recipe_of_chart())

    wished = scaler.decide(0.0, current, values)

    assert wished == expected


def test_pods_are_taken_away_one_a_minute_after_five_calm_ones() -> None:
    """The highest wish of the last five minutes counts, and then one pod goes a minute."""
    scaler, pods, seen = Autoscaler(recipe_of_chart()), 5, []
    scaler.decide(0.0, pods, (3.5, 0.0))

    for second in range(15, 600, 15):
        pods = scaler.decide(second, pods, (0.1, 0.0))
        seen.append((second, pods))

    changed = [
        second for (_, before), (second, after) in itertools.pairwise(seen) if before != after
    ]
    assert changed == [315, 375, 435, 495]
    assert pods == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("late_seconds", [15, 45])
@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.6])
def test_ten_times_the_load_is_absorbed_without_oscillation(
    share: float, late_seconds: int, seed: int
) -> None:
    """In three minutes nothing waits longer than the target; in five nothing waits; all is calm."""
    recipe, weather = recipe_of_chart(), Weather(late_seconds=late_seconds)
    plant = Plant(recipe, weather, random.Random(seed))
    base = share * weather.slots / weather.attempt_seconds
    high = range(BEFORE_SECONDS, BEFORE_SECONDS + HIGH_SECONDS)

    moments = plant.run(
        lambda second: base * STEP if second in high else base,
        BEFORE_SECONDS + HIGH_SECONDS + AFTER_SECONDS,
    )

    _, target_seconds = recipe.targets
    waits = [moment.seconds_for_all for moment in moments]
    assert max(waits[high.start + ABSORBED_SECONDS : high.stop]) <= target_seconds
    assert max(waits[high.start + EMPTY_SECONDS : high.stop]) <= A_BREATH_SECONDS
    assert turns([moment.pods for moment in moments]) == 1
    assert moments[-1].pods == recipe.least
