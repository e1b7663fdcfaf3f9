"""A start that must not succeed: what it says, and what it costs."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from tests.faults.process import DaemonProcess

REFUSAL_SECONDS = 2.0
# Nearly all of such a start is work, so that its processor time is what it takes on a calm machine;
# the rest is what other programs take, or a wait that would show here.
LONGEST_SECONDS = 10.0


@dataclass(frozen=True)
class Refusal:
    """How a process ended that should not have run: its only line beside the log, and its code."""

    line: str
    code: int
    cpu_seconds: float


async def refused(daemon: DaemonProcess) -> Refusal:
    """Start a daemon that must end by itself; fails when it stays, or takes its time."""
    said = len(daemon.stray_output)
    before = spent_seconds()
    await daemon.launch()
    code = await daemon.wait(LONGEST_SECONDS)
    [line] = daemon.stray_output[said:]
    refusal = Refusal(line, code, spent_seconds() - before)
    assert code > 0, f"ended with {code}"
    assert refusal.cpu_seconds <= REFUSAL_SECONDS, refusal
    return refusal


def spent_seconds() -> float:
    """Processor time of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
