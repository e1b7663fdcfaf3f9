"""One installation on the stage: its daemons, its upstream, and what its alerts said.

Every installation has a namespace of its own, so that many share one Prometheus.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec

from tests.faults.experiment import NOBODY, configuration
from tests.faults.process import DaemonProcess
from tests.faults.upstream import Upstream
from tests.live.server import Prometheus, Series, free_port
from tests.waiting import a_moment, wait_until

FIRE_SECONDS = 100.0
RESOLVE_SECONDS = 90.0
STOP_SECONDS = 30.0
SETTLE_SECONDS = 30.0
LOOK_SECONDS = 0.25
CLUSTER = "live"


class Seen(msgspec.Struct, frozen=True):
    """An alert that fired for a fault, and the seconds after which it did, and did no more."""

    alert: str
    fault: str
    fire_seconds: float
    resolve_seconds: float


class Site:
    """`job` is the scrape job of its daemons; `seen` are the alerts that came and went.

    `starting` bounds how many daemons of all sites start at once: a start takes a processor.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        folder: Path,
        namespace: str,
        fault: str = "",
        *,
        starting: asyncio.Semaphore,
        job: str = "tirelessd",
    ) -> None:
        folder.mkdir(parents=True)
        self.prometheus, self.folder, self.namespace, self.job = prometheus, folder, namespace, job
        self.fault, self._starting = fault, starting
        self.upstream = Upstream(keeps_headers=False)
        self.daemons: dict[str, DaemonProcess] = {}
        self.seen: list[Seen] = []
        self._instances: dict[str, str] = {}
        self._fired: dict[str, float] = {}
        self.sent = 0
        self.notes: dict[str, Any] = {}
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Open the upstream."""
        await self.upstream.open()
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        self.began_at = await self.prometheus.now()
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Kill what still runs, by its pid."""
        self.upstream.let_go.set()
        for instance in [*self._instances]:
            self.forget(instance)
        for daemon in self.daemons.values():
            await daemon.kill()
        await self.session.close()
        await self.upstream.close()

    def make(
        self, pod: str = "pod-a", *, environment: Mapping[str, str] | None = None, **changes: Any
    ) -> DaemonProcess:
        """A daemon on a file of its own, not yet started; its ports stay over restarts."""
        folder = self.folder / pod
        folder.mkdir(exist_ok=True)
        ports = {"api": {"port": free_port()}, "ops": {"port": free_port()}}
        defaults: dict[str, Any] = {"pre_drain_seconds": 0, "drain_seconds": 2, **ports}
        config = configuration(folder, self.upstream.url, **{**defaults, **changes})
        self.daemons[pod] = DaemonProcess(folder, config, environment=environment)
        return self.daemons[pod]

    async def start(self, pod: str = "pod-a", **changes: Any) -> DaemonProcess:
        """Make a daemon, start it, and have it scraped."""
        daemon = self.make(pod, **changes)
        await self.start_again(pod)
        self.watch(pod)
        return daemon

    async def start_again(self, pod: str = "pod-a") -> None:
        """Start a daemon that was made before, when the machine has room for a start."""
        async with self._starting:
            await self.daemons[pod].start()

    def watch(self, pod: str = "pod-a", instance: str = "") -> None:
        """Have a daemon scraped, under its own name or under another one as well."""
        address = self.daemons[pod].urls["ops"]
        if instance:
            address = address.replace("127.0.0.1", "localhost")
        self._instances[instance or pod] = address
        labels = {"cluster": CLUSTER, "namespace": self.namespace, "instance": instance or pod}
        self.prometheus.watch(address, job=self.job, **labels)

    def forget(self, pod: str = "pod-a") -> None:
        """Have it scraped no more."""
        self.prometheus.forget(self._instances.pop(pod), job=self.job)

    def store_path(self, pod: str = "pod-a") -> Path:
        """The database of a daemon."""
        return self.folder / pod / "tirelessd.db"

    def now(self) -> float:
        """The instant by the event loop's clock."""
        return asyncio.get_running_loop().time()

    async def is_scraped(self, instance: str = "pod-a") -> None:
        """Return once Prometheus has seen a daemon."""
        seen = f'tirelessd_build_info{{{self.mine},instance="{instance}"}}'

        async def is_there() -> bool:
            return bool(await self.prometheus.query(seen))

        await wait_until(is_there, FIRE_SECONDS)

    @property
    def mine(self) -> str:
        """The matcher of what belongs to this installation."""
        if self.job != "tirelessd":
            return f'job="{self.job}"'
        return f'job="tirelessd",namespace="{self.namespace}"'

    async def restart(self, pod: str = "pod-a") -> None:
        """End a daemon in order and start it again, as a deploy does."""
        await self.stop(pod)
        await self.start_again(pod)

    async def stop(self, pod: str = "pod-a") -> int:
        """End a daemon in order, and return its exit code."""
        self.daemons[pod].send(signal.SIGTERM)
        return await self.daemons[pod].wait(STOP_SECONDS)

    async def call(
        self,
        method: str,
        path: str,
        *,
        pod: str = "pod-a",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> tuple[int, Any]:
        """A request to the API: the status of the answer and its JSON, if it is some."""
        url = self.daemons[pod].urls.get("api", NOBODY).rstrip("/") + path
        sent = {**self.headers, **(headers or {})}
        async with self.session.request(method, url, headers=sent, **more) as response:
            body = await response.read()
        return response.status, msgspec.json.decode(body) if "json" in response.content_type else {}

    async def submit(
        self, word: str = "ok", *, queue: str = "work", pod: str = "pod-a", **headers: str
    ) -> tuple[int, Any]:
        """Submit an item whose payload tells the upstream what to do."""
        self.sent += 1
        body = f"{word}:{self.namespace}-{self.sent}:".encode()
        return await self.call(
            "POST", f"/v1/queues/{queue}/items", pod=pod, data=body, headers=headers
        )

    async def submit_many(self, count: int, word: str = "ok", **more: Any) -> None:
        """Submit so many of a kind, one after the other; every one is accepted."""
        for _ in range(count):
            status, answer = await self.submit(word, **more)
            assert status == 202, answer

    async def load(
        self,
        over: asyncio.Event,
        word: str = "ok",
        *,
        seconds_between: float = 0.1,
        pod: str = "pod-a",
    ) -> None:
        """Submit again and again until it is over, whatever the answers."""
        while not over.is_set():
            with suppress(aiohttp.ClientError, TimeoutError):
                await self.submit(word, pod=pod)
            await a_moment(seconds_between)

    async def counts(self, queue: str = "work", pod: str = "pod-a") -> dict[str, int]:
        """How many items of each state the API tells of."""
        _, answer = await self.call("GET", f"/v1/queues/{queue}", pod=pod)
        found: dict[str, int] = answer["counts"]
        return found

    async def settled(self, queue: str = "work", pod: str = "pod-a") -> None:
        """Return once nothing is ready, running or to be retried."""

        async def is_settled() -> bool:
            counts = await self.counts(queue, pod)
            return not any(counts[state] for state in ("ready", "running", "retrying"))

        await wait_until(is_settled, SETTLE_SECONDS)

    async def is_paused(self, pod: str, queue: str = "work") -> None:
        """Return once a daemon obeys a pause, which another one may have been told of."""

        async def has_heard() -> bool:
            async with self.session.get(self.daemons[pod].urls["ops"] + "/statusz") as response:
                return bool((await response.json())["queues"][queue]["is_paused"])

        await wait_until(has_heard, SETTLE_SECONDS)

    async def total(self, name: str) -> float:
        """The sum of a series over all daemons of this installation."""
        return sum(each.last for each in await self.prometheus.query(f"{name}{{{self.mine}}}"))

    async def firing(self, expression: str = "") -> list[Series]:
        """The alerts of this installation that fire right now."""
        return await self.prometheus.query(f'ALERTS{{alertstate="firing",{self.mine}{expression}}}')

    async def fires(self, alert: str, since: float, **labels: str) -> None:
        """Return once an alert fires; `since` is when its fault began."""
        picked = picker(alert, labels)

        async def is_firing() -> bool:
            return bool(await self.firing(picked))

        await self._wait(is_firing, FIRE_SECONDS, f"{alert} does not fire")
        self._fired[alert] = self.now() - since

    async def is_calm(self, alert: str) -> None:
        """Return once an alert does not fire, as one may that fired before this was opened."""
        picked = picker(alert, {})

        async def is_over() -> bool:
            return not await self.firing(picked)

        await self._wait(is_over, RESOLVE_SECONDS, f"{alert} fires")

    async def resolves(self, alert: str, since: float, **labels: str) -> None:
        """Return once an alert that fired does no more; `since` is when its fault was mended."""
        picked = picker(alert, labels)

        async def is_over() -> bool:
            return not await self.firing(picked)

        await self._wait(is_over, RESOLVE_SECONDS, f"{alert} does not resolve")
        seconds = self.now() - since
        self.seen.append(Seen(alert, self.fault, self._fired.pop(alert), seconds))

    async def _wait(self, condition: Any, seconds: float, otherwise: str) -> None:
        try:
            await wait_until(condition, seconds)
        except TimeoutError:
            there = await self.prometheus.query(f"ALERTS{{{self.mine}}}")
            told = sorted(f"{s.labels['alertname']} {s.labels['alertstate']}" for s in there)
            raise AssertionError(f"{otherwise}; there are {told}") from None

    async def history(self) -> list[Series]:
        """Every alert of this installation that has fired since it was opened."""
        return await self.prometheus.query_range(
            f'ALERTS{{alertstate="firing",{self.mine}}}',
            self.began_at,
            await self.prometheus.now(),
            step_seconds=1,
        )


def picker(alert: str, labels: Mapping[str, str]) -> str:
    """The matchers of an alert, to be added to others."""
    words = {"alertname": f"Tirelessd{alert}", **labels}
    return "".join(f',{name}="{value}"' for name, value in words.items())
