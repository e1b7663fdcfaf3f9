"""A Prometheus that scrapes one target every second, and what it answers."""

from __future__ import annotations

import asyncio
import shutil
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def scraping(target: str, folder: Path, *options: str) -> AsyncIterator[str]:
    """Run a Prometheus; its address. `target` is a host and port, `options` are its flags."""
    program = shutil.which("prometheus")
    assert program, "prometheus is not on PATH; `make test` provides it"
    config = folder / "prometheus.yml"
    job = {"job_name": "tirelessd", "static_configs": [{"targets": [target]}]}
    every_second = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config.write_text(yaml.safe_dump({"global": every_second, "scrape_configs": [job]}))
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        *options,
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        await process.wait()


async def ask(session: aiohttp.ClientSession, url: str, **parameters: str) -> Any:
    """The data that a call of its API answers; None while Prometheus starts."""
    try:
        async with session.get(url, params=parameters) as response:
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, ValueError):
        return None
    return (answer or {}).get("data")


async def query(session: aiohttp.ClientSession, prometheus: str, expression: str) -> list[Any]:
    """The result of a query; empty while Prometheus starts."""
    data = await ask(session, f"{prometheus}/api/v1/query", query=expression)
    result: list[Any] = (data or {}).get("result", [])
    return result
