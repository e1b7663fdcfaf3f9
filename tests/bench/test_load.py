"""The load generator, against servers on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from bench.load import Plan, run_plan
from bench.servers import Upstream
from bench.wire import WireError, make_request
from tirelessd.core.clock import SystemClock

REQUEST = make_request("POST", "/", b"{}")


@asynccontextmanager
async def serving(answer: str = "", status: int = 202) -> AsyncIterator[tuple[int, list[str]]]:
    """A server's port, and the keys that it is sent."""
    keys: list[str] = []

    async def accept(request: web.Request) -> web.Response:
        await request.read()
        keys.append(request.headers.get("Idempotency-Key", ""))
        return web.Response(status=status, text=answer)

    app = web.Application()
    app.router.add_post("/", accept)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1], keys
    await runner.cleanup()


async def test_load_sends_as_many_as_planned() -> None:
    """Every request of the plan is sent once, and its answer is counted by status."""
    async with serving("x" * 100_000) as (port, keys):
        plan = Plan(port=port, request=REQUEST, connections=3, seconds=30, requests=50)

        seen = await run_plan(plan, SystemClock())

    assert (seen.statuses, seen.successes, len(keys)) == ({202: 50}, 50, 50)
    assert seen.body_bytes == 100_000
    assert 0 < seen.p50_seconds <= seen.p99_seconds <= seen.seconds


async def test_refusals_are_no_successes() -> None:
    """Answers that say no are counted, but not as work done."""
    async with serving(status=503) as (port, _):
        plan = Plan(port=port, request=REQUEST, connections=2, seconds=30, requests=10)

        seen = await run_plan(plan, SystemClock())

    assert (seen.answers, seen.successes, seen.rate) == (10, 0, 0.0)


async def test_keys_never_repeat() -> None:
    """With a tail, each request has a number of its own between its two parts."""
    head, tail = b"POST / HTTP/1.1\r\nHost: here\r\nIdempotency-Key: run-", b"\r\n"
    tail += b"Content-Length: 0\r\n\r\n"
    async with serving() as (port, keys):
        plan = Plan(port=port, request=head, tail=tail, connections=4, seconds=30, requests=40)

        await run_plan(plan, SystemClock())

    assert sorted(keys) == sorted(f"run-{number}" for number in range(1, 41))


async def test_server_that_hangs_up_fails_the_load() -> None:
    """A connection that the server closes ends the load with an error, not with fewer answers."""

    class HangingUp(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()

    server = await asyncio.get_running_loop().create_server(HangingUp, "127.0.0.1", 0)
    plan = Plan(port=server.sockets[0].getsockname()[1], request=REQUEST, connections=1)

    async with server:
        with pytest.raises((WireError, ConnectionError)):
            await run_plan(plan, SystemClock())


async def test_upstream_answers_a_request_that_comes_in_pieces() -> None:
    """The fast upstream answers when the body is whole, and again on the same connection."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])

        answers = []
        for _ in range(2):
            for piece in (REQUEST[:10], REQUEST[10:-1], REQUEST[-1:]):
                writer.write(piece)
                await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            answers.append(head.split(b"\r\n")[0] + await reader.readexactly(2))

        writer.close()

    assert answers == [b"HTTP/1.1 200 OK{}"] * 2
