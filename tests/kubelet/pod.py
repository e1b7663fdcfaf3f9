"""A pod and its kubelet: a real process that is probed, restarted and ended as in a cluster.

The rules are those of the kubelet (Kubernetes documentation, "Pod Lifecycle" and "Configure
Liveness, Readiness and Startup Probes"): until the startup probe succeeds the others rest; a
container that fails its liveness is sent SIGTERM and, at the end of its grace, SIGKILL; one that
ended is started again after a back-off that doubles; a pod that is deleted leaves the endpoints at
once.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass

import aiohttp

from tests.faults.process import DaemonProcess
from tests.kubelet.service import Service
from tests.kubelet.spec import Check, Spec
from tests.waiting import a_moment, wait_until

# Longer than anything here takes: the deadlines of waits that others bound.
LIFETIME_SECONDS = 600.0


@dataclass(frozen=True)
class Address:
    """Where a pod is found; its containers share it."""

    host: str
    port: int
    ops_port: int

    @property
    def ops_url(self) -> str:
        """Metrics and probes."""
        return f"http://{self.host}:{self.ops_port}"


@dataclass(frozen=True)
class Ending:
    """How a container ended: its exit code, and the seconds since SIGTERM if it was sent any."""

    code: int
    seconds: float = 0.0
    is_wanted: bool = False

    @property
    def was_killed(self) -> bool:
        """Whether it was there at the end of its grace."""
        return self.code == -signal.SIGKILL


class Pod:
    """Runs one container of the given process until it is deleted, or let go of.

    `probe_failures` counts, for each path, how often a probe came to its last failure; `waits` has
    the back-off before each restart.
    """

    def __init__(
        self, daemon: DaemonProcess, spec: Spec, service: Service, address: Address
    ) -> None:
        self.daemon, self.spec, self.address = daemon, spec, address
        self._service = service
        self.endings: list[Ending] = []
        self.waits: list[float] = []
        self.probe_failures: dict[str, int] = {}
        self.is_ready = False
        self._deleted = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def restarts(self) -> int:
        """How often the container was started again, as `kubectl get pods` shows it."""
        return len([ending for ending in self.endings if not ending.is_wanted])

    # --- what an operator or a controller does -------------------------------

    async def create(self) -> None:
        """Start it, and return at once."""
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def wait_ready(self, seconds: float = 30.0) -> None:
        """Return once callers are sent there; fails when the kubelet's own work has failed."""

        async def is_reached() -> bool:
            assert self._running is not None
            if self._running.done():
                self._running.result()
            address = (self.address.host, self.address.port)
            return self.is_ready and address in self._service.endpoints

        await wait_until(is_reached, seconds)

    async def wait_restarted(self, times: int = 1, seconds: float = 30.0) -> None:
        """Return once so many containers have ended unasked."""

        async def has_ended() -> bool:
            return self.restarts >= times

        await wait_until(has_ended, seconds)

    async def delete(self) -> Ending:
        """End it in order, and return once it is gone, in its grace or killed at its end."""
        assert self._running is not None
        self._deleted.set()
        await self._running
        return self.endings[-1]

    async def let_go(self) -> None:
        """Probe it no more, and leave the process to whoever asks."""
        if self._running is not None and not self._running.done():
            self._running.cancel()
            await asyncio.wait({self._running})

    # --- what the kubelet does -----------------------------------------------

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=LIFETIME_SECONDS)
        # A probe makes a connection of its own each time, as the kubelet's do.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            while not self._deleted.is_set():
                await self.daemon.launch()
                ending = await self._watched(session)
                self.endings.append(ending)
                if not ending.is_wanted and await self._is_deleted_within(self._back_off()):
                    return

    def _back_off(self) -> float:
        """The seconds until the next start."""
        doubled = self.spec.back_off_seconds * 2.0 ** (self.restarts - 1)
        self.waits.append(min(doubled, self.spec.back_off_cap_seconds))
        return self.waits[-1]

    async def _is_deleted_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._deleted.wait()
        except TimeoutError:
            return False
        return True

    async def _watched(self, session: aiohttp.ClientSession) -> Ending:
        """Probe a container until it ends by itself, is found dead, or is to go."""
        loop = asyncio.get_running_loop()
        gone = loop.create_task(self.daemon.wait(LIFETIME_SECONDS))
        probing = loop.create_task(self._probe(session))
        deleted = loop.create_task(self._deleted.wait())
        tasks = (gone, probing, deleted)
        try:
            await asyncio.wait({*tasks}, return_when="FIRST_COMPLETED")
            self._set_ready(is_ready=False)
            if probing.done():
                probing.result()
            if gone.done():
                return Ending(gone.result())
            return await self._ended(is_wanted=deleted.done())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait({*tasks})

    async def _ended(self, *, is_wanted: bool) -> Ending:
        """SIGTERM, the grace, SIGKILL."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        self.daemon.send(signal.SIGTERM)
        try:
            code = await self.daemon.wait(self.spec.grace_seconds)
        except TimeoutError:
            await self.daemon.kill()
            code = self.daemon.ends[-1].code
        return Ending(code, loop.time() - began_at, is_wanted)

    async def _probe(self, session: aiohttp.ClientSession) -> None:
        """Return when the startup or the liveness probe has failed for good."""
        if not await self._holds(session, self.spec.startup, until_first=True):
            return
        readiness = asyncio.get_running_loop().create_task(self._readiness_loop(session))
        try:
            await self._holds(session, self.spec.liveness)
        finally:
            readiness.cancel()
            await asyncio.wait({readiness})
            if not readiness.cancelled():
                readiness.result()

    async def _holds(
        self, session: aiohttp.ClientSession, check: Check, *, until_first: bool = False
    ) -> bool:
        """Probe until a first success, if that is all; false at the last of too many failures."""
        failures = 0
        while failures < check.failures:
            is_good = await self._answers(session, check)
            if is_good and until_first:
                return True
            failures = 0 if is_good else failures + 1
            await a_moment(check.period_seconds)
        self.probe_failures[check.path] = self.probe_failures.get(check.path, 0) + 1
        return False

    async def _readiness_loop(self, session: aiohttp.ClientSession) -> None:
        check, failures = self.spec.readiness, 0
        while True:
            failures = 0 if await self._answers(session, check) else failures + 1
            if failures == 0 or failures >= check.failures:
                self._set_ready(is_ready=failures == 0)
            await a_moment(check.period_seconds)

    async def _answers(self, session: aiohttp.ClientSession, check: Check) -> bool:
        """Whether a probe is answered with success, in time."""
        try:
            async with (
                asyncio.timeout(check.timeout_seconds),
                session.get(self.address.ops_url + check.path) as response,
            ):
                return 200 <= response.status < 400
        except (aiohttp.ClientError, OSError):
            return False

    def _set_ready(self, *, is_ready: bool) -> None:
        """Tell the endpoints, when it is news."""
        if is_ready != self.is_ready:
            self.is_ready = is_ready
            tell = self._service.admit if is_ready else self._service.withdraw
            tell((self.address.host, self.address.port))
