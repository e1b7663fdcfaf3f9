"""What a pod's manifest tells the kubelet, and the same in a cluster whose time goes faster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import yaml

from tests.helm.chart import configuration, render, workloads

# A minute of the cluster takes six seconds here. What a process needs for itself, to start or to
# close its files, is as long as it is.
SPEED = 10.0
# Not the chart's to say: what a kubelet waits before it starts again what has ended, doubled each
# time up to the most (Kubernetes documentation, "Pod Lifecycle"), and what news of an endpoint
# takes to reach every node of a busy cluster.
BACK_OFF_SECONDS, BACK_OFF_CAP_SECONDS = 10.0, 300.0
PROPAGATION_SECONDS = 3.0
UPSTREAM: Mapping[str, Any] = {"upstream": {"url": "http://models:8000/predict"}}


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

    startup: Check
    liveness: Check
    readiness: Check
    pre_drain_seconds: float
    drain_seconds: float
    # What the grace has beyond both drains.
    closing_seconds: float
    propagation_seconds: float = PROPAGATION_SECONDS
    back_off_seconds: float = BACK_OFF_SECONDS
    back_off_cap_seconds: float = BACK_OFF_CAP_SECONDS
    min_ready_seconds: float = 0.0

    @property
    def grace_seconds(self) -> float:
        """From SIGTERM to SIGKILL."""
        return self.pre_drain_seconds + self.drain_seconds + self.closing_seconds

    def at(self, speed: float) -> Self:
        """The same where time goes so many times faster, except for what a process itself needs."""
        return replace(
            self,
            # Asked more often, and so more often in vain: a start takes what it takes.
            startup=replace(
                self.startup.at(speed), failures=math.ceil(self.startup.failures * speed)
            ),
            liveness=self.liveness.at(speed),
            readiness=self.readiness.at(speed),
            pre_drain_seconds=self.pre_drain_seconds / speed,
            drain_seconds=self.drain_seconds / speed,
            propagation_seconds=self.propagation_seconds / speed,
            min_ready_seconds=self.min_ready_seconds / speed,
            back_off_seconds=self.back_off_seconds / speed,
            back_off_cap_seconds=self.back_off_cap_seconds / speed,
        )

    def with_closing(self, closing_seconds: float) -> Self:
        """The same with another grace: so much more, or less, than both drains."""
        return replace(self, closing_seconds=closing_seconds)


def spec_of_chart(**values: Any) -> Spec:
    """The pod that the chart makes of an upstream's address, and of these values."""
    manifests = render({**UPSTREAM, **values})
    (workload,) = workloads(manifests)
    pod = workload["spec"]["template"]["spec"]
    config = yaml.safe_load(configuration(manifests))
    pre_drain_seconds, drain_seconds = config["pre_drain_seconds"], config["drain_seconds"]
    # Bad news may wait for a scrape; here there is to be none, and so no time for it.
    grace_seconds = pod["terminationGracePeriodSeconds"] - config["ops"]["last_scrape_seconds"]
    container = pod["containers"][0]
    return Spec(
        check_of(container["startupProbe"]),
        check_of(container["livenessProbe"]),
        check_of(container["readinessProbe"]),
        pre_drain_seconds=pre_drain_seconds,
        drain_seconds=drain_seconds,
        closing_seconds=grace_seconds - pre_drain_seconds - drain_seconds,
        min_ready_seconds=workload["spec"].get("minReadySeconds", 0),
    )


def check_of(probe: Mapping[str, Any]) -> Check:
    """A probe, as a manifest has it."""
    return Check(
        probe["httpGet"]["path"],
        probe["periodSeconds"],
        probe["timeoutSeconds"],
        probe["failureThreshold"],
    )
