"""A Prometheus of our own: started on a free port, asked over HTTP, and ended by its pid."""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
import yaml

from tests.waiting import wait_until

START_SECONDS = 20.0
END_SECONDS = 10.0
INTERVAL_SECONDS = 1.0

Labels = Mapping[str, str]


def free_port() -> int:
    """A port of loopback that nobody listens on, and that no connection is given by the system.

    So it is still free when a daemon that was stopped comes back to it.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


class Series(msgspec.Struct, frozen=True):
    """One series of an answer, and its samples as pairs of an instant and a value."""

    labels: dict[str, str]
    samples: list[tuple[float, float]]

    @property
    def last(self) -> float:
        """The youngest value."""
        return self.samples[-1][1]

    @property
    def is_any_number(self) -> bool:
        """Whether any value is one."""
        return any(not math.isnan(value) for _, value in self.samples)


class Prometheus:
    """Scrapes and evaluates once a second.

    `rules` are files of rules by their name. Targets come and go while it runs: `watch` and
    `forget` change those of one job.
    """

    def __init__(
        self, folder: Path, rules: Mapping[str, str] | None = None, jobs: Sequence[str] = ()
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._targets: dict[str, dict[str, Labels]] = {job: {} for job in (*jobs, "tirelessd")}
        self._process: Process | None = None
        self.url = ""
        for name, text in (rules or {}).items():
            (folder / f"{name}.rules.yaml").write_text(text, encoding="utf-8")

    async def __aenter__(self) -> Self:
        """Start it, and return once it answers."""
        program = shutil.which("prometheus")
        assert program, "prometheus is not on PATH; `make test` provides it"
        for job in self._targets:
            self._write(job)
        config = self._folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._config()), encoding="utf-8")
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        self._process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={address}",
            "--enable-feature=exemplar-storage",
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        self._session = aiohttp.ClientSession(self.url)
        await wait_until(self._is_ready, START_SECONDS)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        await self._session.close()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await asyncio.wait_for(self._process.wait(), END_SECONDS)

    def _config(self) -> Mapping[str, Any]:
        interval = f"{INTERVAL_SECONDS:g}s"
        return {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "rule_files": [str(self._folder / "*.rules.yaml")],
            "scrape_configs": [
                {
                    "job_name": job,
                    "file_sd_configs": [
                        {"files": [str(self._file(job))], "refresh_interval": interval}
                    ],
                }
                for job in self._targets
            ],
        }

    async def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, f"prometheus ended: {self._process.returncode}"
        try:
            async with self._session.get("/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def _file(self, job: str) -> Path:
        return self._folder / f"targets-{job}.json"

    def _write(self, job: str) -> None:
        groups = [
            {"targets": [address], "labels": dict(labels)}
            for address, labels in self._targets[job].items()
        ]
        # Moved into place, so that half a file is never read.
        half = self._file(job).with_suffix(".new")
        half.write_bytes(msgspec.json.encode(groups))
        half.rename(self._file(job))

    def watch(self, url: str, *, job: str = "tirelessd", **labels: str) -> None:
        """Scrape an address from now on, and put these labels on what it says."""
        self._targets[job][address_of(url)] = labels
        self._write(job)

    def forget(self, url: str, *, job: str = "tirelessd") -> None:
        """Scrape it no more."""
        del self._targets[job][address_of(url)]
        self._write(job)

    async def _ask(self, path: str, **parameters: str) -> Any:
        async with self._session.get(f"/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", f"{answer['error']}: {parameters}"
        return answer["data"]

    async def query(self, expression: str, at: float | None = None) -> list[Series]:
        """The vector that an expression is, now or at an instant."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        data = await self._ask("query", query=expression, **when)
        return [Series(each["metric"], [numbers(each["value"])]) for each in data["result"]]

    async def query_range(
        self, expression: str, start: float, end: float, step_seconds: float
    ) -> list[Series]:
        """What an expression was from one instant to another."""
        data = await self._ask(
            "query_range",
            query=expression,
            start=f"{start:.3f}",
            end=f"{end:.3f}",
            step=f"{step_seconds:g}",
        )
        return [
            Series(each["metric"], [numbers(pair) for pair in each["values"]])
            for each in data["result"]
        ]

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health, and when it was evaluated last."""
        groups = (await self._ask("rules"))["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of the series that an expression names."""
        data: list[dict[str, Any]] = await self._ask(
            "query_exemplars", query=expression, start=f"{start:.3f}", end=f"{end:.3f}"
        )
        return data

    async def now(self) -> float:
        """Its own clock."""
        return float((await self._ask("query", query="time()"))["result"][1])


def numbers(pair: Sequence[Any]) -> tuple[float, float]:
    """An instant and a value, which is written as text."""
    return float(pair[0]), float(pair[1])


def address_of(url: str) -> str:
    """The host and port of an address."""
    return url.removeprefix("http://").rstrip("/")
