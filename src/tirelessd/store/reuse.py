"""For how long a count is good enough: the longer, the more it cost."""

from __future__ import annotations

from typing import Final

REUSE_FACTOR: Final = 20.0
CHEAP_SECONDS: Final = 0.02
# However long one took: a disk that hung once says nothing about the next.
REUSE_CAP_SECONDS: Final = 10.0


def reusable_seconds(took_seconds: float) -> float:
    """So that counting never keeps a store busy, however many ask; 0 for one that was cheap."""
    if took_seconds <= CHEAP_SECONDS:
        return 0.0
    return min(took_seconds * REUSE_FACTOR, REUSE_CAP_SECONDS)
