"""A real Prometheus scrapes the ops listener, in the format that it asks for by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from tests.live.server import Prometheus
from tests.observe.events import EXAMPLES, make_metrics
from tests.waiting import wait_until
from tirelessd.observe.scrape import ScrapeHandler

SECONDS = 20.0


@pytest.fixture
async def target(aiohttp_server: AiohttpServer) -> AsyncIterator[str]:
    """Host and port of a listener with the metrics of one event of every kind."""
    metrics = make_metrics()
    for event in EXAMPLES:
        metrics(event)
    handler = ScrapeHandler(metrics.registry, metrics.catch_up)
    app = web.Application()
    app.router.add_get("/metrics", handler.__call__)
    server = await aiohttp_server(app)
    yield f"{server.host}:{server.port}"
    handler.close()


@pytest.fixture
async def prometheus(target: str, tmp_path: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes the target every second."""
    async with Prometheus(tmp_path) as running:
        running.watch(target)
        yield running


async def test_prometheus_takes_every_sample(prometheus: Prometheus) -> None:
    """The target is up, and what it counted can be queried under its labels."""

    async def is_scraped() -> bool:
        return bool(await prometheus.query("tirelessd_items_accepted_total > 0"))

    await wait_until(is_scraped, SECONDS)
    up = await prometheus.query('up{job="tirelessd"} == 1')
    (accepted,) = await prometheus.query("tirelessd_items_accepted_total")
    created = await prometheus.query('{__name__=~"tirelessd_.*_created"}')
    buckets = await prometheus.query("tirelessd_attempt_duration_seconds_bucket")

    assert up
    assert accepted.labels["queue"] == "work"
    assert accepted.last == 1
    assert created == []
    assert {bucket.labels["le"] for bucket in buckets} >= {"0.25", "+Inf"}
