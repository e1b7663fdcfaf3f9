"""A real Prometheus scrapes the ops listener, in the format that it asks for by itself."""

from __future__ import annotations

import asyncio
import shutil
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from tests.observe.events import EXAMPLES, make_metrics
from tests.waiting import wait_until
from tirelessd.observe.scrape import ScrapeHandler

SECONDS = 20.0


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
async def target(aiohttp_server: AiohttpServer) -> AsyncIterator[str]:
    """Host and port of a listener with the metrics of one event of every kind."""
    metrics = make_metrics()
    for event in EXAMPLES:
        metrics(event)
    handler = ScrapeHandler(metrics.registry, lambda: None)
    app = web.Application()
    app.router.add_get("/metrics", handler.__call__)
    server = await aiohttp_server(app)
    yield f"{server.host}:{server.port}"
    handler.close()


@pytest.fixture
async def prometheus(target: str, tmp_path: Path) -> AsyncIterator[str]:
    """The address of a Prometheus that scrapes the target every second."""
    program = shutil.which("prometheus")
    assert program, "prometheus is not on PATH; `make test` provides it"
    config = tmp_path / "prometheus.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                "scrape_configs": [
                    {"job_name": "tirelessd", "static_configs": [{"targets": [target]}]}
                ],
            }
        )
    )
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    yield f"http://{address}"
    process.kill()
    await process.wait()


async def query(session: aiohttp.ClientSession, prometheus: str, expression: str) -> list[Any]:
    """The result of a query; empty while Prometheus starts."""
    try:
        async with session.get(
            f"{prometheus}/api/v1/query", params={"query": expression}
        ) as response:
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, ValueError):
        return []
    result: list[Any] = (answer or {}).get("data", {}).get("result", [])
    return result


async def test_prometheus_takes_every_sample(prometheus: str) -> None:
    """The target is up, and what it counted can be queried under its labels."""
    async with aiohttp.ClientSession() as session:

        async def is_scraped() -> bool:
            return bool(await query(session, prometheus, "tirelessd_items_accepted_total > 0"))

        await wait_until(is_scraped, SECONDS)
        up = await query(session, prometheus, 'up{job="tirelessd"} == 1')
        (accepted,) = await query(session, prometheus, "tirelessd_items_accepted_total")
        created = await query(session, prometheus, '{__name__=~"tirelessd_.*_created"}')
        buckets = await query(session, prometheus, "tirelessd_attempt_duration_seconds_bucket")

    assert up
    assert accepted["metric"]["queue"] == "work"
    assert accepted["value"][1] == "1"
    assert created == []
    assert {bucket["metric"]["le"] for bucket in buckets} >= {"0.25", "+Inf"}
