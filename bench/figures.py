"""What was measured, against what it is compared with, and whether that is good enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal

import msgspec

Unit = Literal["/s", "ms", "µs", "s", "MiB", "KiB", "%", "x"]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A bound on the figure itself, or on its ratio to what it is compared with."""

    least: float | None = None
    most: float | None = None
    is_ratio: bool = False

    def is_met(self, figure: float) -> bool:
        """Whether the figure is within the bounds, which belong to them."""
        return (self.least is None or figure >= self.least) and (
            self.most is None or figure <= self.most
        )


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: a figure per round, and one of the bare counterpart per round.

    `bare` is what the same machine does with the least possible program, in the same run.
    """

    scenario: str
    what: str
    unit: Unit
    rounds: tuple[float, ...]
    bare_rounds: tuple[float, ...] = ()
    target: Target | None = None

    @property
    def value(self) -> float:
        """The median over the rounds."""
        return median(self.rounds)

    @property
    def bare(self) -> float | None:
        """The median of the counterpart, None without one."""
        return median(self.bare_rounds) if self.bare_rounds else None

    @property
    def ratio(self) -> float | None:
        """The medians' ratio, None without a counterpart."""
        bare = self.bare
        return self.value / bare if bare else None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None when there is none."""
        if self.target is None:
            return None
        figure = self.ratio if self.target.is_ratio else self.value
        return figure is not None and self.target.is_met(figure)


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A figure at each of some sizes, for the plot; points are (size, figure)."""

    what: str
    unit: Unit
    points: tuple[tuple[float, float], ...]


class Found(msgspec.Struct, frozen=True):
    """What a scenario came to."""

    rows: tuple[Row, ...]
    curves: tuple[Curve, ...] = ()


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the figures are from; without it they mean nothing."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    file_system: str
    versions: dict[str, str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmarks. `started_at` is RFC 3339, `commit` ends in + when it was edited.

    `load` is the load average when the run began: whatever else ran is in the figures.
    """

    started_at: str
    commit: str
    machine: Machine
    load: float
    round_seconds: float
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]


def percentile(ranked: Sequence[float], share: float) -> float:
    """The least value that at least `share` of the values do not exceed (nearest rank).

    The values are in ascending order; 0 of nothing.
    """
    if not ranked:
        return 0.0
    # Rounded before the ceiling: 0.07 * 100 is a little more than 7.
    rank = math.ceil(round(share * len(ranked), 9))
    return ranked[max(rank, 1) - 1]
