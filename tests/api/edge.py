"""The API in front of a house: over HTTP as programs speak it, and over bare sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self, cast

import msgspec
from aiohttp import ClientResponse, web
from aiohttp.test_utils import BaseTestServer, TestClient
from yarl import URL

from tests.engine.script import House
from tirelessd.api.app import build_app
from tirelessd.api.auth import Auth, Token
from tirelessd.api.limits import Limits
from tirelessd.api.listener import Listener
from tirelessd.core.clock import SystemClock
from tirelessd.core.queue import Retention

PATIENCE_SECONDS = 10.0
UNKNOWN_ID = "01999999-0000-7000-8000-000000000000"

Client = TestClient[web.BaseRequest, None]
MakeClient = Callable[[BaseTestServer], Awaitable[Client]]


class ListenerServer(BaseTestServer):
    """The project's own listener where aiohttp's test client expects a server."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener

    async def start_server(
        self, loop: asyncio.AbstractEventLoop | None = None, **kwargs: Any
    ) -> None:
        """Start the listener on a free port."""
        del loop, kwargs
        await self._listener.start()
        self.port = self._listener.port
        self._root = URL(f"http://127.0.0.1:{self.port}")

    async def close(self) -> None:
        """Stop it as the daemon does."""
        await self._listener.stop(1.0)

    async def _make_runner(self, **kwargs: Any) -> web.BaseRunner:
        raise NotImplementedError("the listener has its own")


class Edge:
    """A house, the API's listener in front of it, and clients of that."""

    def __init__(self, house: House, tokens: Sequence[Token], limits: Limits) -> None:
        self.house = house
        self.limits = limits
        engine = house.engine
        self.app = build_app(
            engine.intake,
            engine.desk,
            Auth(tokens),
            limits,
            house.recorder,
            SystemClock(),
            house.tracer,
        )
        self.listener = Listener("api", self.app, "127.0.0.1", 0, limits, house.recorder)
        self.client: Client

    async def connect(self) -> Wire:
        """A bare connection."""
        return await Wire.connect(self.listener.port)

    async def pause(self) -> Self:
        """Pause every queue, so that items stay as they were accepted."""
        for config in self.house.queues:
            await self.house.engine.desk.pause(config.name, None)
        return self

    async def purge_ended(self) -> None:
        """Do what retention does in time: delete every item that has ended."""
        nothing = Retention(succeeded_seconds=0, cancelled_seconds=0, dead_seconds=0, items=0)
        queues = [
            msgspec.structs.replace(config, retention=nothing) for config in self.house.queues
        ]
        await self.house.store.purge(queues, 1_000)

    async def submit(
        self, payload: bytes = b"x", queue: str = "work", **headers: str
    ) -> dict[str, Any]:
        """Have an item accepted; the receipt. Header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.client.post(f"/v1/queues/{queue}/items", data=payload, headers=named)
        assert response.status == 202, await response.text()
        receipt: dict[str, Any] = await response.json()
        return receipt

    async def get(self, path: str, **query: str) -> Any:
        """The JSON under a path."""
        response = await self.client.get(path, params=query)
        assert response.status == 200, await response.text()
        return await response.json()

    async def send_lines(self, *lines: bytes, queue: str = "work") -> ClientResponse:
        """Send a batch of these lines."""
        return await self.client.post(
            f"/v1/queues/{queue}/batch",
            data=b"\n".join(lines),
            headers={"Content-Type": "application/x-ndjson"},
        )


async def problem_in(response: ClientResponse) -> dict[str, Any]:
    """The answer as a problem document that is true to itself."""
    assert response.content_type == "application/problem+json", await response.text()
    problem: dict[str, Any] = msgspec.json.decode(await response.read())
    assert problem["status"] == response.status
    assert problem["type"] == f"urn:tirelessd:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]
    assert len(problem["request_id"]) == 36
    return problem


class Answer(msgspec.Struct):
    """An answer as it came over a bare socket."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document in it."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        problem: dict[str, Any] = msgspec.json.decode(self.body)
        return problem


class Wire:
    """A bare connection: what is sent is up to the test, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int) -> Self:
        """A new connection."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, *parts: bytes) -> Self:
        """Send bytes as they are."""
        self._writer.write(b"".join(parts))
        return self

    async def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer, interim ones included; fails after `PATIENCE_SECONDS`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().rstrip().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, value in (line.split(":", 1) for line in lines)
            }
            length = int(headers.get("content-length", "0")) if has_body else 0
            body = await self._reader.readexactly(length)
        return Answer(int(first.split(" ")[1]), headers, body)

    async def is_closed(self) -> bool:
        """Whether the other side ends the connection without another byte, in time."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True

    async def rest(self) -> bytes:
        """Whatever else comes until the other side ends the connection, in time."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._reader.read()

    def stop_reading(self) -> None:
        """Let what the other side sends pile up."""
        cast("asyncio.ReadTransport", self._writer.transport).pause_reading()

    def read_on(self) -> None:
        """Take what has piled up."""
        cast("asyncio.ReadTransport", self._writer.transport).resume_reading()

    def close(self) -> None:
        """End the connection."""
        self._writer.close()

    def reset(self) -> None:
        """End the connection as a dying client does."""
        self._writer.transport.abort()


def post(body: bytes, *fields: str, path: str = "/v1/queues/work/items") -> bytes:
    """A whole request with a body of known length."""
    lines = (f"POST {path} HTTP/1.1", "Host: t", f"Content-Length: {len(body)}", *fields)
    return "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape") + body


def head(*fields: str, path: str = "/v1/queues/work/items") -> bytes:
    """The head of a request, up to the empty line."""
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: t", *fields, "", "")).encode()


def chunked(*chunks: bytes) -> bytes:
    """A chunked body without its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
