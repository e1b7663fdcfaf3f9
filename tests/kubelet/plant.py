"""An installation as arithmetic, second by second: items come, pods start, slots work, news is old.

What a real one adds to it, in processes and in Prometheus, is tried in `test_scaling`; this one
runs hours in a moment, so that many of them can be tried.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.kubelet.hpa import Autoscaler, Recipe

MEAN_WINDOW_SECONDS = 120


@dataclass(frozen=True)
class Weather:
    """What differs from one installation to another.

    `late_seconds` is how old what the scaler reads is: a scrape, a rule and a poll. A new pod takes
    `start_seconds` to be ready; the load of a second differs from its mean by up to `noise` of it.
    """

    slots: int = 20
    attempt_seconds: float = 1.0
    start_seconds: int = 20
    late_seconds: int = 45
    noise: float = 0.1


@dataclass
class Moment:
    """How it stood at the end of a second: pods wished for, pods ready, items waiting."""

    pods: int
    ready: int
    waiting: float
    seconds_for_all: float


@dataclass
class Plant:
    """Runs an installation under a load, in items a second, and keeps every second of it."""

    recipe: Recipe
    weather: Weather
    source: random.Random
    moments: list[Moment] = field(default_factory=list)

    def run(self, load: Callable[[int], float], seconds: int) -> Sequence[Moment]:
        """The moments of so many seconds."""
        weather = self.weather
        scaler, pods, starting = Autoscaler(self.recipe), self.recipe.least, deque[int]()
        ready, waiting = pods, 0.0
        pod_rate = weather.slots / weather.attempt_seconds
        busy = deque([0.0] * MEAN_WINDOW_SECONDS, MEAN_WINDOW_SECONDS)
        read = deque([(0.0, 0.0)] * (weather.late_seconds + 1), weather.late_seconds + 1)
        for second in range(seconds):
            came = load(second) * self.source.uniform(1 - weather.noise, 1 + weather.noise)
            done = min(waiting + came, ready * pod_rate)
            waiting += came - done
            busy.append(done / pod_rate)
            read.append((sum(busy) / len(busy), waiting / pod_rate))
            if second % int(self.recipe.sync_seconds) == 0:
                wished = scaler.decide(second, pods, read[0])
                starting.extend([second + weather.start_seconds] * (wished - pods))
                if wished < pods:
                    ready = min(ready, wished)
                    starting = deque(sorted(starting)[: max(0, wished - ready)])
                pods = wished
            while starting and starting[0] <= second:
                starting.popleft()
                ready += 1
            self.moments.append(Moment(pods, ready, waiting, waiting / pod_rate / ready))
        return self.moments


def turns(counts: Sequence[int]) -> int:
    """How often a count changes its direction: up and then down is one turn."""
    steps = [after - before for before, after in itertools.pairwise(counts)]
    signs = [1 if step > 0 else -1 for step in steps if step]
    return sum(before != after for before, after in itertools.pairwise(signs))
