"""A clock that stands still until a test moves it."""

from __future__ import annotations

START_AT = 1_800_000_000.0


class ManualClock:
    """Time passes by `advance` alone; `jump` sets the wall clock as an operator might."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._wall_offset = START_AT

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._passed

    def wall(self) -> float:
        """Seconds since the Unix epoch."""
        return self._wall_offset + self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, while no time passes."""
        self._wall_offset += seconds
