"""What a process takes of its machine, as it sees it itself."""

from __future__ import annotations

import resource


def own_cpu_seconds() -> float:
    """What this process has taken of the processors so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
