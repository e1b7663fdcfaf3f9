"""Numbers as the dashboards show them."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

Steps = Sequence[tuple[float, str]]

# From the largest; the first that a number reaches is what it is shown in.
STEPS: Final[Mapping[str, Steps]] = {
    "s": ((86400, " d"), (3600, " h"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "bytes": ((2**40, " TiB"), (2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")),
    "short": ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1, "")),
}
SUFFIXES: Final[Mapping[str, str]] = {"ops": " ops/s", "reqps": " req/s"}


def shown(value: float, unit: str) -> str:
    """A number with its unit, in three digits or so."""
    if math.isnan(value):
        return "no data"
    if unit == "percentunit":
        return f"{plain(value * 100)}%"
    steps = STEPS.get(unit, STEPS["short"])
    size, suffix = next((each for each in steps if abs(value) >= each[0]), (1, ""))
    if value == 0 or abs(value) < steps[-1][0]:
        size, suffix = 1, next(text for length, text in steps if length == 1)
    return f"{plain(value / size)}{suffix}{SUFFIXES.get(unit, '')}"


def plain(value: float) -> str:
    """A number with three digits that count."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
