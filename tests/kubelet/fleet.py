"""Several pods behind one Service, each with a volume of its own, scaled as the recipe says.

An embedded store is its pod's alone, so this shape is for trying the loop, not for running: what a
pod that is taken away still has to do stays on its volume, and the pod is brought back, without
callers, until nothing is left. A store that pods share leaves no such rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.exposition import Exposition
from tests.faults.books import Row, copied_rows
from tests.faults.check import ENDED
from tests.faults.experiment import configuration
from tests.faults.process import DaemonProcess
from tests.kubelet.hpa import Autoscaler, Recipe
from tests.kubelet.pod import Address, Pod
from tests.kubelet.service import Service
from tests.kubelet.spec import Spec
from tests.live.server import free_port
from tests.waiting import a_moment, wait_until

EMPTY_SECONDS = 60.0
OPEN_STATES = ("ready", "scheduled", "retrying", "running")

Values = Sequence[float | None]


@dataclass(frozen=True)
class Look:
    """One look of the autoscaler: when, the pods there were, what it read, the pods it wished."""

    at: float
    pods: int
    values: Values
    wished: int


@dataclass
class Fleet:
    """Pods in the order of their making; the youngest goes first.

    `queue` is what every pod's queue has; `came` and `gone` hear of each pod. `volumes` has every
    pod that there ever was by its folder; `brought_back` counts those that had something left to do
    when they were taken away.
    """

    folder: Path
    spec: Spec
    upstream_url: str
    queue: Mapping[str, Any]
    came: Callable[[Pod], None] = lambda _pod: None
    gone: Callable[[Pod], None] = lambda _pod: None
    pods: list[Pod] = field(default_factory=list, init=False)
    volumes: dict[Path, list[Pod]] = field(default_factory=dict, init=False)
    brought_back: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Nobody is there yet."""
        self.service = Service(self.spec.propagation_seconds)
        self._leaving: list[asyncio.Task[None]] = []

    async def scale_to(self, count: int) -> None:
        """Create pods, or take away the youngest; neither is waited for."""
        while len(self.pods) < count:
            volume = self.folder / f"volume-{len(self.volumes)}"
            volume.mkdir()
            self.pods.append(await self._create(volume, self.service))
        while len(self.pods) > count:
            pod = self.pods.pop()
            self._leaving.append(asyncio.get_running_loop().create_task(self._retire(pod)))

    async def _create(self, volume: Path, service: Service) -> Pod:
        address = Address("127.0.0.1", free_port(), free_port())
        config = configuration(
            volume,
            self.upstream_url,
            queue=self.queue,
            api={"port": address.port},
            ops={"port": address.ops_port},
            pre_drain_seconds=self.spec.pre_drain_seconds,
            drain_seconds=self.spec.drain_seconds,
        )
        pod = Pod(DaemonProcess(volume, config), self.spec, service, address)
        self.volumes.setdefault(volume, []).append(pod)
        await pod.create()
        self.came(pod)
        return pod

    async def _retire(self, pod: Pod) -> None:
        """Take a pod away, and bring it back without callers while its volume has work left."""
        volume = pod.daemon.folder
        await self._delete(pod)
        while any(row.state not in ENDED for row in self.rows_of(volume).values()):
            self.brought_back += 1
            again = await self._create(volume, Service(0.0))
            await again.wait_ready()
            await self._emptied(again)
            await self._delete(again)

    async def _delete(self, pod: Pod) -> None:
        await pod.delete()
        self.gone(pod)

    def rows_of(self, volume: Path) -> Mapping[str, Row]:
        """What lies on the volume of a pod that is gone."""
        return copied_rows(volume / "tirelessd.db", volume / "copy")

    @staticmethod
    async def _emptied(pod: Pod) -> None:
        async def is_empty() -> bool:
            told = Exposition(await scraped(pod))
            return not sum(told.total("queue_items", state=state) for state in OPEN_STATES)

        await wait_until(is_empty, EMPTY_SECONDS)

    async def settle(self) -> None:
        """Take every pod away, each once it has nothing left to do; fails where one did."""
        for pod in self.pods:
            await self._emptied(pod)
        await self.scale_to(0)
        await asyncio.gather(*self._leaving)

    async def close(self) -> None:
        """Let nothing run on."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for pod in (pod for pods in self.volumes.values() for pod in pods):
            await pod.let_go()
            await pod.daemon.kill()


@dataclass
class Scaling:
    """The autoscaler at work on a fleet while it is entered; `read` gets it the signals' values."""

    fleet: Fleet
    recipe: Recipe
    read: Callable[[], Awaitable[Values]]
    looks: list[Look] = field(default_factory=list, init=False)

    async def __aenter__(self) -> Self:
        """Begin to look."""
        self._running = asyncio.get_running_loop().create_task(self._loop())
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Look no more."""
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    async def _loop(self) -> None:
        scaler, loop = Autoscaler(self.recipe), asyncio.get_running_loop()
        while True:
            at, pods, values = loop.time(), len(self.fleet.pods), await self.read()
            wished = scaler.decide(at, pods, values)
            self.looks.append(Look(at, pods, values, wished))
            await self.fleet.scale_to(wished)
            await a_moment(self.recipe.sync_seconds)

    async def wait_pods(self, is_right: Callable[[int], bool], seconds: float) -> None:
        """Return once there are as many pods as asked for, all of them ready."""

        async def is_there() -> bool:
            assert not self._running.done(), self._running.result()
            return is_right(len(self.fleet.pods)) and all(pod.is_ready for pod in self.fleet.pods)

        await wait_until(is_there, seconds)


async def scraped(pod: Pod) -> str:
    """What a pod's /metrics says."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{pod.address.ops_url}/metrics") as response,
    ):
        assert response.status == 200
        return await response.text()
