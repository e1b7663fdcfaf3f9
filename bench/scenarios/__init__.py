"""The scenarios: each starts what it needs, runs its rounds in turns, and answers rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from bench.figures import Row
from bench.run import Run
from bench.scenarios.single import run_single

SCENARIOS: Final[dict[str, Callable[[Run], Awaitable[list[Row]]]]] = {"single": run_single}
