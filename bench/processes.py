"""The processes of a benchmark: started, watched from outside, and ended."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import yaml

from bench.load import PATIENCE_SECONDS, Plan, Seen
from tirelessd.cli.demonstration.process import end_process, opened_listeners, own_environment
from tirelessd.core.clock import Clock

ROOT: Final = Path(__file__).parents[1]
DATABASE: Final = "bench.db"
START_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.005
TICKS: Final = os.sysconf("SC_CLK_TCK")


class BenchFailed(Exception):
    """A benchmark could not be run to its end; the message says why."""


class Watched:
    """A running process, as the kernel accounts for it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._folder = Path(f"/proc/{process.pid}")

    def cpu_seconds(self) -> float:
        """What it has taken of the processors so far, in steps of a clock tick."""
        # The name before the last bracket may hold anything, spaces too.
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_memory_bytes(self) -> int:
        """The most resident memory it has had."""
        lines = (self._folder / "status").read_text().splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024


class Server(Watched):
    """A process that listens on one port of loopback."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        super().__init__(process)
        self.port = port


class Daemon(Watched):
    """A `tirelessd serve` process on a store; `start_seconds` is until it was ready."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        ports: Mapping[str, int],
        store: str,
        start_seconds: float,
    ) -> None:
        super().__init__(process)
        self.port = ports["api"]
        self.ops_port = ports["ops"]
        self.store = store
        self.start_seconds = start_seconds


def environment() -> dict[str, str]:
    """Ours, without settings of a daemon, with this project to import from."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**own_environment(), "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@asynccontextmanager
async def running_server(name: str) -> AsyncIterator[Server]:
    """One of `bench.servers`, until the context ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.servers", name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
        if not line:
            raise BenchFailed(f"the {name} server did not start")
        yield Server(process, int(line))
    finally:
        await end_process(process)


@asynccontextmanager
async def running_daemon(
    folder: Path,
    queues: Mapping[str, Any],
    clock: Clock,
    module: str = "tirelessd",
    store: str | None = None,
) -> AsyncIterator[Daemon]:
    """A daemon with these queues and its data in `folder`, ready; drained when the context ends.

    Everything else is as anybody's: durable commits, metrics, lines from info on into a file. A
    `module` other than the program is one that runs it with something changed, a `store` the URL
    of one that is not in the folder.
    """
    log = folder / "tirelessd.log"
    store = store or f"sqlite:///{folder / DATABASE}"
    path = _write_config(folder, store, queues)
    started = clock.monotonic()
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, "serve", "--config", str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stream,
            env=environment(),
        )
    try:
        async with asyncio.timeout(START_SECONDS):
            ports = await _wait_ports(process, log)
            await _wait_ready(ports["ops"])
        yield Daemon(process, ports, store, clock.monotonic() - started)
    finally:
        await end_process(process)


def _write_config(folder: Path, store: str, queues: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tirelessd.yaml"
    config = {
        "store": store,
        "api": {"port": 0},
        "ops": {"port": 0},
        "drain_seconds": 1,
        "log": {"level": "info", "format": "json"},
        "queues": dict(queues),
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


async def _wait_ports(process: asyncio.subprocess.Process, log: Path) -> dict[str, int]:
    """The ports of both listeners, once the log tells them."""
    while len(urls := opened_listeners(log)) < 2:
        if process.returncode is not None:
            raise BenchFailed(f"the daemon did not start; {log} tells why")
        await asyncio.sleep(LOOK_SECONDS)
    return {name: urlsplit(url).port or 0 for name, url in urls.items()}


async def _wait_ready(ops_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{ops_port}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(LOOK_SECONDS)


async def run_load(plan: Plan) -> Seen:
    """Fulfil a plan in a process of its own; raises `BenchFailed` when a connection broke."""
    answer = await run_apart("bench.load", msgspec.json.encode(plan), plan.seconds)
    return msgspec.json.decode(answer, type=Seen)


async def run_apart(module: str, text: bytes, seconds: float) -> bytes:
    """What a module's process makes of its standard input, within so long and some patience."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        async with asyncio.timeout(START_SECONDS + seconds + PATIENCE_SECONDS):
            answer, _ = await process.communicate(text)
    finally:
        await end_process(process)
    if process.returncode:
        raise BenchFailed(f"{module} failed; what it said stands above")
    return answer
