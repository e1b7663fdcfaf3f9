"""What a pod's manifest tells the kubelet, and the same in a cluster whose time goes faster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

# A minute of the cluster takes six seconds here. What a process needs for itself, to start or to
# close its files, is as long as it is.
SPEED = 10.0
# What the pod's grace has beyond both drains: see `daemon.CLOSE_SECONDS` and what a release takes.
CLOSING_SECONDS = 5.0


@dataclass(frozen=True)
class Check:
    """One probe: asked every `period_seconds`, failed after so many failures in a row."""

    path: str
    period_seconds: float
    timeout_seconds: float
    failures: int

    def at(self, speed: float) -> Self:
        """The same where time goes so many times faster."""
        return replace(
            self,
            period_seconds=self.period_seconds / speed,
            timeout_seconds=self.timeout_seconds / speed,
        )


@dataclass(frozen=True)
class Spec:
    """A pod: its three probes, its two drains, and how long it may take to end.

    `propagation_seconds` is what news of an endpoint takes to reach every node; `back_off_seconds`
    is what the first restart waits, doubled by each further one up to `back_off_cap_seconds`.
    """

    startup: Check = Check("/startupz", 1.0, 2.0, 120)
    liveness: Check = Check("/livez", 10.0, 5.0, 3)
    readiness: Check = Check("/readyz", 2.0, 2.0, 2)
    pre_drain_seconds: float = 5.0
    drain_seconds: float = 30.0
    propagation_seconds: float = 3.0
    back_off_seconds: float = 10.0
    back_off_cap_seconds: float = 300.0
    closing_seconds: float = CLOSING_SECONDS

    @property
    def grace_seconds(self) -> float:
        """From SIGTERM to SIGKILL."""
        return self.pre_drain_seconds + self.drain_seconds + self.closing_seconds

    def at(self, speed: float) -> Self:
        """The same where time goes so many times faster, except for what a process itself needs."""
        return replace(
            self,
            startup=self.startup.at(speed),
            liveness=self.liveness.at(speed),
            readiness=self.readiness.at(speed),
            pre_drain_seconds=self.pre_drain_seconds / speed,
            drain_seconds=self.drain_seconds / speed,
            propagation_seconds=self.propagation_seconds / speed,
            back_off_seconds=self.back_off_seconds / speed,
            back_off_cap_seconds=self.back_off_cap_seconds / speed,
        )

    def with_closing(self, closing_seconds: float) -> Self:
        """The same with another grace: so much more, or less, than both drains."""
        return replace(self, closing_seconds=closing_seconds)
