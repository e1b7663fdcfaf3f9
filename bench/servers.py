"""What the daemon is measured against, each a process: `python -m bench.servers bare|upstream`.

The port is written to standard output; the process ends when its standard input does, so that none
outlives the benchmark.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Final, cast

import msgspec
import uvloop
from aiohttp import web

BARE_PATH: Final = "/items"
_ACCEPTED: Final = {
    "id": "01900000-0000-7000-8000-000000000000",
    "queue": "single",
    "state": "leased",
}
_DONE: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def serve_bare() -> int:
    """The least aiohttp handler: it reads the body and answers 202 with a small JSON."""

    async def accept(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(
            body=msgspec.json.encode(_ACCEPTED), status=202, content_type="application/json"
        )

    app = web.Application()
    # A fixed path: one with a part to match would cost what only a real service needs.
    app.router.add_post(BARE_PATH, accept)
    # The daemon writes no line for a request that went well, so neither does this.
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return int(runner.addresses[0][1])


class Upstream(asyncio.Protocol):
    """Answers 200 to each request as soon as its body is there, for next to nothing.

    It knows one request at a time with a `Content-Length`, as the daemon and aiohttp send them.
    """

    def __init__(self) -> None:
        self._held = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        # uvloop's transports have the methods, not the parentage.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer when the request is whole."""
        assert self._transport is not None
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        if found and len(body) >= content_length(head):
            self._held = b""
            self._transport.write(_DONE)


def content_length(head: bytes) -> int:
    """The length that a request's head gives to its body."""
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0] or b"0")


async def serve_upstream() -> int:
    """An upstream that is never what one waits for."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    return int(server.sockets[0].getsockname()[1])


SERVERS: Final[dict[str, Callable[[], Awaitable[int]]]] = {
    "bare": serve_bare,
    "upstream": serve_upstream,
}


async def serve(name: str) -> None:
    """Serve, tell the port, and go on until standard input ends."""
    port = await SERVERS[name]()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    # Never written to: it is readable when it has ended.
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
