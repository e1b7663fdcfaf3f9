"""The HorizontalPodAutoscaler's arithmetic, for metrics with a target per pod.

Written from its documentation ("Horizontal Pod Autoscaling": algorithm details, configurable
scaling behavior). KEDA makes such an object of a ScaledObject, so it is the same arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

# The controller's own: how often it looks, and which deviation is none.
SYNC_SECONDS = 15.0
TOLERANCE = 0.1
# What stands before the unit in a quantity.
UNITS = {"m": 1e-3, "": 1.0, "k": 1e3}


@dataclass(frozen=True)
class Recipe:
    """How many pods there may be, which signals they follow, and how fast.

    `targets` are what one pod may have of each signal.
    """

    targets: Sequence[float]
    least: int
    most: int
    up_window_seconds: float
    up_percent: float
    up_pods: int
    up_period_seconds: float
    down_window_seconds: float
    down_pods: int
    down_period_seconds: float
    sync_seconds: float = SYNC_SECONDS

    def at(self, speed: float) -> Self:
        """The same where time goes so many times faster; the second target is a time too."""
        utilisation, backlog_seconds = self.targets
        return replace(
            self,
            targets=(utilisation, backlog_seconds / speed),
            up_window_seconds=self.up_window_seconds / speed,
            up_period_seconds=self.up_period_seconds / speed,
            down_window_seconds=self.down_window_seconds / speed,
            down_period_seconds=self.down_period_seconds / speed,
            sync_seconds=self.sync_seconds / speed,
        )


def recipe_of(manifest: Mapping[str, Any]) -> Recipe:
    """What a HorizontalPodAutoscaler says; its first metric is utilisation, its second backlog."""
    spec = manifest["spec"]
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    policies = {each["type"]: each for each in up["policies"]}
    (down_policy,) = down["policies"]
    return Recipe(
        [quantity(each["external"]["target"]["averageValue"]) for each in spec["metrics"]],
        spec["minReplicas"],
        spec["maxReplicas"],
        up["stabilizationWindowSeconds"],
        policies["Percent"]["value"],
        policies["Pods"]["value"],
        policies["Pods"]["periodSeconds"],
        down["stabilizationWindowSeconds"],
        down_policy["value"],
        down_policy["periodSeconds"],
    )


def quantity(text: str) -> float:
    """A quantity as manifests write it, `700m` for one."""
    digits = text.rstrip("mk")
    return float(digits) * UNITS[text[len(digits) :]]


@dataclass
class Autoscaler:
    """Decides, at each sync, how many pods there should be; time is whatever it is told."""

    recipe: Recipe
    _wished: list[tuple[float, int]] = field(default_factory=list, init=False)
    _changes: list[tuple[float, int]] = field(default_factory=list, init=False)

    def decide(self, now: float, current: int, values: Sequence[float | None]) -> int:
        """How many pods there should be from now on.

        A value that is None could not be had: then none is taken away, but some may be added.
        """
        wish = self._wish(current, values)
        self._wished.append((now, wish))
        chosen = self._limited(now, current, self._stable(now, current))
        if chosen != current:
            self._changes.append((now, chosen - current))
        return chosen

    def _wish(self, current: int, values: Sequence[float | None]) -> int:
        """What the signals ask for: the one that wants most is heard."""
        known = [
            (value, target)
            for value, target in zip(values, self.recipe.targets, strict=True)
            if value is not None
        ]
        wishes = [self._of_one(current, value, target) for value, target in known]
        if len(known) < len(values):
            wishes.append(current)
        return min(max(*wishes, self.recipe.least), self.recipe.most)

    @staticmethod
    def _of_one(current: int, value: float, target: float) -> int:
        is_near = abs(value / (target * current) - 1) <= TOLERANCE
        return current if is_near else math.ceil(value / target)

    def _stable(self, now: float, current: int) -> int:
        """The least of what was wished lately when more are wished, the most when fewer are."""
        recipe = self.recipe
        oldest = now - max(recipe.up_window_seconds, recipe.down_window_seconds)
        self._wished = [pair for pair in self._wished if pair[0] >= oldest]
        ups = [n for at, n in self._wished if at >= now - recipe.up_window_seconds]
        downs = [n for at, n in self._wished if at >= now - recipe.down_window_seconds]
        return max(min(max(current, min(ups)), max(downs)), 0)

    def _limited(self, now: float, current: int, wanted: int) -> int:
        """No faster than the policies allow."""
        recipe = self.recipe
        if wanted > current:
            began = current - self._changed(now - recipe.up_period_seconds)
            by_percent = math.ceil(began * (1 + recipe.up_percent / 100))
            return max(current, min(wanted, max(by_percent, began + recipe.up_pods)))
        began = current - self._changed(now - recipe.down_period_seconds)
        return min(current, max(wanted, began - recipe.down_pods))

    def _changed(self, since: float) -> int:
        """By how many pods it has grown since an instant."""
        return sum(change for at, change in self._changes if at > since)
