"""What is nobody's business stays out of the log and the metrics of a whole daemon."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from tests.faults.process import DaemonProcess
from tests.waiting import wait_until

TOKEN = "canary-token-0123456789abcdef"
PAYLOAD = "canary-payload"
HEADER = "canary-header"
QUERY = "canary-query"
UPSTREAM_KEY = "canary-upstream-key-0123456789"
CANARIES = (TOKEN, PAYLOAD, HEADER, QUERY, UPSTREAM_KEY)


async def tell_tale(request: web.Request) -> web.Response:
    """An upstream that fails, and repeats in its answer how it was asked."""
    asked = "; ".join(f"{name}: {value}" for name, value in request.headers.items())
    await request.read()
    return web.Response(status=500, text=f"failed: POST {request.url} with {asked}")


@pytest.fixture
async def daemon(tmp_path: Path, aiohttp_server: AiohttpServer) -> AsyncIterator[DaemonProcess]:
    """A daemon that logs everything, and whose upstream tells everything."""
    app = web.Application()
    app.router.add_post("/predict", tell_tale)
    upstream = await aiohttp_server(app)
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    handler = {
        "type": "http",
        "url": str(upstream.make_url(f"/predict?key={QUERY}")),
        "headers": {"Authorization": f"Bearer {UPSTREAM_KEY}"},
    }
    daemon = DaemonProcess(
        tmp_path,
        {
            "store": f"sqlite://{tmp_path / 'tirelessd.db'}",
            "api": {"port": 0},
            "ops": {"port": 0},
            "pre_drain_seconds": 0,
            "log": {"level": "debug"},
            "auth": {"tokens": [{"name": "shop", "sha256": digest, "scopes": ["submit", "read"]}]},
            "queues": {
                "work": {
                    "handler": handler,
                    "retry": {"max_attempts": 2, "initial_seconds": 0.1, "floor_seconds": 0.01},
                }
            },
        },
    )
    await daemon.start()
    yield daemon
    await daemon.kill()


async def submit(daemon: DaemonProcess, token: str = TOKEN) -> int:
    """Hand an item in that is full of canaries; the answer's status."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Cookie": f"session={HEADER}",
        "X-Api-Key": HEADER,
    }
    url = f"{daemon.urls['api']}/v1/queues/work/items"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=PAYLOAD.encode(), headers=headers) as response,
    ):
        return response.status


async def send_raw(daemon: DaemonProcess, request: bytes) -> None:
    """Say something that is no HTTP, and wait for the answer's end."""
    port = int(daemon.urls["api"].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    writer.write_eof()
    await reader.read()
    writer.close()


def events_of(daemon: DaemonProcess) -> list[Any]:
    """The log's events so far."""
    return [line["event"] for line in daemon.lines]


async def test_no_canary_gets_out(daemon: DaemonProcess) -> None:
    """Not through a failing upstream, a wrong token or a malformed request, at any level."""
    assert await submit(daemon) == 202
    assert await submit(daemon, token=f"{TOKEN}x") == 401
    await send_raw(
        daemon, f"GET /x?key={QUERY} HTTP/1.1\r\nAuthori zation: {TOKEN}\r\n\r\n".encode()
    )

    async def is_dead() -> bool:
        return "item.dead" in events_of(daemon)

    await wait_until(is_dead, 20.0)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{daemon.urls['ops']}/metrics") as response:
            metrics = await response.text()
        async with session.get(f"{daemon.urls['ops']}/statusz") as response:
            status = await response.text()
    daemon.send(signal.SIGTERM)
    assert await daemon.wait(20.0) == 0

    log = msgspec.json.encode(daemon.lines).decode()
    said = "\n".join((log, metrics, status, *daemon.stray_output))
    assert "failed: POST" in log
    assert {"item.accepted", "attempt.failed", "item.dead"} <= set(events_of(daemon))
    assert [canary for canary in CANARIES if canary in said] == []
    assert daemon.stray_output == []
