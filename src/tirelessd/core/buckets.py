"""The bounds of histograms."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Buckets(msgspec.Struct, frozen=True):
    """The upper bounds of every histogram, each list replaceable.

    A latency beyond the last bound cannot be told from any other, so waiting goes to six hours and
    acceptance-to-end to three days.
    """

    http: Sequence[float] = (
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
    )  # fmt: skip
    attempt: Sequence[float] = (
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
    )  # fmt: skip
    wait: Sequence[float] = (
        0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21600,
    )  # fmt: skip
    end_to_end: Sequence[float] = (
        0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 10800, 43200, 86400, 259200,
    )  # fmt: skip
    store: Sequence[float] = (
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30,
    )  # fmt: skip
    loop: Sequence[float] = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
    count: Sequence[float] = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20)
    batch: Sequence[float] = (1, 8, 64)
    size: Sequence[float] = (256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            # Bounds are searched by halving, so they must grow; below 0 there is nothing to count.
            bounds = list(getattr(self, name))
            if not bounds or bounds != sorted(set(bounds)) or bounds[0] <= 0:
                raise ValueError(f"buckets.{name}: bounds must be positive and grow, not {bounds}")
