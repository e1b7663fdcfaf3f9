"""A daemon as its users run it: a process of its own, with a configuration file and a log."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml

START_SECONDS = 15.0


@dataclass(frozen=True)
class End:
    """How and when a process ended; `at` is an instant of the event loop's clock."""

    at: float
    pid: int
    code: int

    @property
    def is_crash(self) -> bool:
        """Whether it ended otherwise than by a drain."""
        return self.code != 0


class DaemonProcess:
    """Starts, watches and ends one daemon; every line it logs is kept.

    `prefix` is a command to run it under, such as strace or prlimit; `pid` is then the command's.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._prefix, self._environment = tuple(prefix), dict(environment or {})
        self._listeners = {"ops"} if config.get("role") == "slots" else {"api", "ops"}
        self.config_path = folder / "tirelessd.yaml"
        self.config_path.write_text(yaml.safe_dump(dict(config)))
        self.lines: list[dict[str, Any]] = []
        self.stray_output: list[str] = []
        self.urls: dict[str, str] = {}
        self.ends: list[End] = []
        self.is_ending = False
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._logged = asyncio.Event()

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process and return once it says that it is ready."""
        await self.launch()
        async with asyncio.timeout(START_SECONDS):
            while not self._listeners <= self.urls.keys():
                await self._wait_line()
            await self._wait_ready()

    async def launch(self) -> None:
        """Start the process, whatever becomes of it."""
        self.urls, self.is_ending = {}, False
        # Of our own variables the daemon would say that they fit no setting.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TIRELESSD_")}
        self._process = await asyncio.create_subprocess_exec(
            *self._prefix,
            sys.executable,
            "-m",
            "tirelessd",
            "serve",
            "--config",
            str(self.config_path),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**inherited, "PYTHONUNBUFFERED": "1", **self._environment},
            limit=1 << 22,
        )
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _wait_line(self) -> None:
        """Return at the next line; fails when the process has ended instead."""
        self._logged.clear()
        assert self._reading is not None
        line = asyncio.get_running_loop().create_task(self._logged.wait())
        done, _ = await asyncio.wait({line, self._reading}, return_when="FIRST_COMPLETED")
        if line not in done:
            line.cancel()
            raise AssertionError(
                f"the daemon ended at its start: {self.stray_output or self.lines}"
            )

    async def _wait_ready(self) -> None:
        async with aiohttp.ClientSession() as session:
            while await self.probe(session) != 200:
                await self._wait_line()

    async def probe(self, session: aiohttp.ClientSession, path: str = "/readyz") -> int:
        """The status that a probe answers; 0 when nobody answers."""
        try:
            async with session.get(self.urls["ops"] + path) as response:
                return response.status
        except (aiohttp.ClientError, OSError):
            return 0

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            self._keep(raw.decode(errors="replace").rstrip())
            self._logged.set()

    def _keep(self, text: str) -> None:
        try:
            line = msgspec.json.decode(text)
        except msgspec.DecodeError:
            self.stray_output.append(text)
            return
        self.lines.append(line)
        if line.get("event") == "listener.opened":
            self.urls[line["listener"]] = line["url"]

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self.is_ending = self.is_ending or number in (signal.SIGTERM, signal.SIGINT)
        self._process.send_signal(number)

    async def wait(self, seconds: float) -> int:
        """The exit code; fails when the process is still there after so long."""
        assert self._process is not None
        assert self._reading is not None
        code = await asyncio.wait_for(self._process.wait(), seconds)
        at = asyncio.get_running_loop().time()
        await self._reading
        if not self.ends or self.ends[-1].pid != self.pid:
            self.ends.append(End(at, self.pid, code))
        return code

    async def kill(self) -> None:
        """End the process as a power cut would, if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self.wait(10)

    def tracebacks(self) -> list[str]:
        """What an operator would read as a crash: tracebacks in lines or beside them."""
        lines = [
            str(line) for line in self.lines if "exception" in line or "Traceback" in str(line)
        ]
        return lines + [text for text in self.stray_output if text]
