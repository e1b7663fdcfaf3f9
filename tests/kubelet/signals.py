"""The two signals of the recipe: busy pods, and the seconds one pod would work at what is ready."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from tests.exposition import Exposition
from tests.kubelet.fleet import Fleet, Values, scraped
from tests.kubelet.pod import Pod
from tests.live.server import Prometheus

RECORDED = ("job:tirelessd_slots_busy_pods:max", "job:tirelessd_backlog_seconds:max")


@dataclass
class Scrapes:
    """Reads them from the pods themselves, by the formulas of the recording rules.

    The mean of busy slots is over the last `looks`; that of attempts over all there were.
    """

    fleet: Fleet
    looks: int
    _busy: deque[float] = field(default_factory=deque, init=False)

    async def read(self) -> Values:
        """Both as they are; None where nobody answers."""
        all_told = [Exposition(text) for pod in [*self.fleet.pods] if (text := await tried(pod))]
        # A pod that is just starting has not counted its items yet.
        told = [each for each in all_told if each.has("queue_items")]
        if not told:
            return None, None
        slots = sum(each.total("slots") for each in told) / len(told)
        self._busy.append(sum(each.total("slots_busy") for each in told) / slots)
        while len(self._busy) > self.looks:
            self._busy.popleft()
        ready = sum(each.total("queue_items", state="ready") for each in told)
        return sum(self._busy) / len(self._busy), ready * mean_seconds(told) / slots


@dataclass
class Recorded:
    """Reads them from a Prometheus, as a scaler does; it has the rules, and scrapes every pod."""

    prometheus: Prometheus

    def watch(self, pod: Pod) -> None:
        """Scrape a pod from now on."""
        self.prometheus.watch(pod.address.ops_url, namespace="shop", cluster="one")

    def forget(self, pod: Pod) -> None:
        """Scrape it no more."""
        self.prometheus.forget(pod.address.ops_url)

    async def read(self) -> Values:
        """Both as they were recorded last; None where there is nothing."""
        return [await self._last(name) for name in RECORDED]

    async def _last(self, name: str) -> float | None:
        found = await self.prometheus.query(name)
        return found[0].last if found else None


def mean_seconds(told: Sequence[Exposition]) -> float:
    """How long an attempt takes; as long as it may where there was none yet."""
    count = sum(each.total("attempt_duration_seconds_count") for each in told)
    if not count:
        return max(each.total("attempt_timeout_seconds") for each in told)
    return sum(each.total("attempt_duration_seconds_sum") for each in told) / count


async def tried(pod: Pod) -> str:
    """What a pod's /metrics says; empty where nobody answers yet, or any more."""
    try:
        return await scraped(pod)
    except (aiohttp.ClientError, OSError):
        return ""
