"""A real Prometheus scrapes the ops listener, in the format that it asks for by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from tests.observe.events import EXAMPLES, make_metrics
from tests.observe.prometheus import query, scraping
from tests.waiting import wait_until
from tirelessd.observe.scrape import ScrapeHandler

SECONDS = 20.0


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
    async with scraping(target, tmp_path) as address:
        yield address


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
