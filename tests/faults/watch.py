"""What can be seen of a daemon from outside while something is done to it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from tests.faults.process import DaemonProcess
from tests.waiting import a_moment

SCRAPE_SECONDS = 0.2
SAMPLE_SECONDS = 0.5
# Once a process has been told to end, its last numbers are worth more than quiet.
ENDING_SCRAPE_SECONDS = 0.02
TICK_SECONDS = 0.05
# Gauges of which the highest value is kept.
GAUGES = ("store_wal_bytes",)
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """What the kernel says of a process at an instant of the event loop's clock."""

    at: float
    pid: int
    rss_bytes: int
    descriptors: int
    threads: int
    cpu_seconds: float


@dataclass(frozen=True)
class Probe:
    """One question to the ops listener; `status` is 0 when nobody answered.

    `rig_late_seconds` is how late the asking side itself was meanwhile.
    """

    at: float
    pid: int
    path: str
    status: int
    seconds: float
    rig_late_seconds: float = 0.0


@dataclass(frozen=True)
class Scrape:
    """What /metrics said last in one life of the daemon."""

    at: float
    pid: int
    text: str


def sample(pid: int, at: float) -> Sample | None:
    """Look at a process; None when it is gone."""
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        resident = int((folder / "statm").read_text().split()[1]) * PAGE_BYTES
        descriptors = len(os.listdir(folder / "fd"))  # noqa: PTH208 - counts, and is quicker
    except (OSError, IndexError):
        return None
    cpu_seconds = (int(fields[11]) + int(fields[12])) / TICKS
    return Sample(at, pid, resident, descriptors, int(fields[17]), cpu_seconds)


class Watch:
    """Scrapes, probes and samples the running daemon as long as it is entered."""

    def __init__(self, daemon: Callable[[], DaemonProcess | None]) -> None:
        self._daemon = daemon
        self.samples: list[Sample] = []
        self.probes: list[Probe] = []
        self.lives: dict[int, Scrape] = {}
        self.calm: Sample | None = None
        self._most: dict[str, float] = {}
        self._late_seconds = 0.0

    async def __aenter__(self) -> Self:
        """Begin to look."""
        timeout = aiohttp.ClientTimeout(total=5)
        self._session = aiohttp.ClientSession(timeout=timeout)
        loops = [self._ask_loop(path) for path in ("/metrics", "/livez", "/readyz")]
        loops += [self._sample_loop(), self._tick_loop()]
        self._looking = [asyncio.get_running_loop().create_task(each) for each in loops]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look no more."""
        for task in self._looking:
            task.cancel()
        await asyncio.wait(self._looking)
        await self._session.close()
        for task in self._looking:
            if not task.cancelled():
                task.result()

    async def _ask_loop(self, path: str) -> None:
        while True:
            await self.ask(path)
            daemon = self._daemon()
            is_ending = daemon is not None and daemon.is_ending
            await a_moment(ENDING_SCRAPE_SECONDS if is_ending else SCRAPE_SECONDS)

    async def _tick_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_at = loop.time() + TICK_SECONDS
            await a_moment(TICK_SECONDS)
            self._late_seconds += max(0.0, loop.time() - due_at)

    async def _sample_loop(self) -> None:
        while True:
            self.look()
            await a_moment(SAMPLE_SECONDS)

    def look(self) -> Sample | None:
        """Sample the process now."""
        daemon = self._daemon()
        if daemon is None or not daemon.is_running:
            return None
        seen = sample(daemon.pid, asyncio.get_running_loop().time())
        if seen is not None:
            self.samples.append(seen)
        return seen

    async def ask(self, path: str) -> str:
        """Put one question to the ops listener now, and keep the answer; empty without one."""
        daemon = self._daemon()
        if daemon is None or not daemon.is_running or "ops" not in daemon.urls:
            return ""
        pid, at, late = daemon.pid, asyncio.get_running_loop().time(), self._late_seconds
        status, text = 0, ""
        try:
            async with self._session.get(daemon.urls["ops"] + path) as response:
                status, text = response.status, await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            text = ""
        seconds = asyncio.get_running_loop().time() - at
        self.probes.append(Probe(at, pid, path, status, seconds, self._late_seconds - late))
        self._note(Scrape(at, pid, text), path, status)
        return text

    def _note(self, said: Scrape, path: str, status: int) -> None:
        # An answer that was asked for earlier may come in later: counters only grow.
        known = self.lives.get(said.pid)
        if path == "/metrics" and status == 200 and (known is None or known.at <= said.at):
            self.lives[said.pid] = said
            self._note_gauges(said.text)
        if path == "/readyz" and status == 200 and self.calm is None:
            self.calm = self.look()

    def _note_gauges(self, text: str) -> None:
        for name in GAUGES:
            found = re.search(rf"^tirelessd_{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
            value = float(found[1]) if found else 0.0
            self._most[name] = max(value, self._most.get(name, 0.0))

    def most(self, name: str) -> float:
        """The highest value of a gauge that any scrape has shown; see `GAUGES`."""
        return self._most[name]

    def seen(self, path: str, since: float = 0.0) -> list[Probe]:
        """The answers to one path, those asked since an instant."""
        return [probe for probe in self.probes if probe.path == path and probe.at >= since]

    @property
    def rss_peak_mib(self) -> float:
        """The most memory seen."""
        return max((seen.rss_bytes for seen in self.samples), default=0) / MIB
