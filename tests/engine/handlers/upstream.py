"""Upstreams on loopback that do, byte by byte, what a test wrote down, and attempts on them."""

from __future__ import annotations

import array
import asyncio
import fcntl
import select
import socket
import ssl
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import pytest

from tirelessd.core.decision import Complete
from tirelessd.core.errors import AttemptError
from tirelessd.core.events import Emit, Event
from tirelessd.core.item import Context, Item
from tirelessd.core.trace import TraceContext, Untraced
from tirelessd.engine.handlers.http import HttpConfig, HttpHandler

PATIENCE_SECONDS = 10.0
NOW = 1_795_348_800.0
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\ndone"


@dataclass(frozen=True)
class Request:
    """What reached an upstream: the request line, the header lines as bytes, the body."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a header; the name in any case."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Exchange:
    """A connection and the request just read from it."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send bytes and wait until they have left."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection with a RST."""
        reset(self.writer)

    async def wait_gone(self) -> None:
        """Return when the other side has ended the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                while await self.reader.read(65_536):
                    pass
            except OSError:
                return


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a RST instead of a FIN."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


Answer = Callable[[Exchange], Awaitable[None]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    """A server that reads requests and has each answered; several may come on one connection.

    `talk` replaces even the reading. What an answer raises fails the test, a connection that the
    other side has left aside.
    """

    answer: Answer | None = None
    talk: Talk | None = None
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._changed = asyncio.Condition()
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        failures = [end for end in ends if isinstance(end, Exception)]
        if error is None and failures:
            raise failures[0]

    @property
    def url(self) -> str:
        """Where to POST to."""
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}/predict?model=a%2Fb"

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Return once it is so; looked at whenever a request comes or a connection goes."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(is_so)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        try:
            await self._tell()
            await (self.talk or self._exchange_all)(reader, writer)
        except (ConnectionError, ssl.SSLError):
            return  # the other side left, and the test judges that by itself
        finally:
            writer.transport.abort()
            self.open_connections -= 1
            await self._tell()

    async def _exchange_all(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert self.answer is not None
        while (request := await read_request(reader)) is not None:
            self.requests.append(request)
            await self._tell()
            await self.answer(Exchange(request, reader, writer))
            if writer.is_closing():
                return

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class DeafUpstream:
    """A server for one connection that reads the head of a request, and never anything more.

    It answers when the other side is stuck: the system takes no more from it.
    """

    def __init__(self, answer: bytes = b"") -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.has_answered = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    async def serve(self) -> None:
        """Answer the request, and return when the other side has ended the connection."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_SECONDS):
            connection, _ = await loop.sock_accept(self._listener)
            with connection:
                while b"\r\n\r\n" not in await loop.sock_recv(connection, 1_000):
                    pass
                await wait_stuck(connection)
                await loop.sock_sendall(connection, self._answer)
                self.has_answered.set()
                # An end behind bytes that nobody reads is seen by poll alone.
                poll = select.poll()
                poll.register(connection, select.POLLHUP | select.POLLERR)
                has_left = await asyncio.to_thread(poll.poll, PATIENCE_SECONDS * 500)
                assert has_left, "the connection is still there"


async def wait_stuck(connection: socket.socket) -> None:
    """Return when no more bytes come in, though this loop gives their sender every chance."""
    before, unread = -1, 0
    while before != unread:
        for _ in range(100):
            await asyncio.sleep(0)
        room = array.array("i", [0])
        fcntl.ioctl(connection, termios.FIONREAD, room)
        before, unread = unread, room[0]


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request on a connection, None when there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *lines = head[:-4].split(b"\r\n")
    headers = [
        (name, value.strip(b" ")) for name, _, value in (row.partition(b":") for row in lines)
    ]
    request = Request(line, headers, b"")
    length = int(request.values(b"content-length")[0])
    return Request(line, headers, await reader.readexactly(length))


def sending(*parts: bytes, close: bool = False) -> Answer:
    """An answer of these bytes; then the connection ends, or stays for the next request."""

    async def answer(exchange: Exchange) -> None:
        for part in parts:
            await exchange.send(part)
        if close:
            exchange.writer.close()

    return answer


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """A whole answer with a status."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(body)}", *lines])
    return sending(head.encode() + b"\r\n\r\n" + body)


class StoppedClock:
    """A clock that always shows the same."""

    def monotonic(self) -> float:
        """Zero."""
        return 0.0

    def wall(self) -> float:
        """`NOW`."""
        return NOW


def an_item(
    payload: bytes = b"{}",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Item:
    """An item as claimed."""
    return Item("0193-item", "predictions", payload, content_type, headers or {}, 4, NOW)


def a_context(
    attempt: int = 1, traceparent: str | None = None, tracestate: str | None = None
) -> Context:
    """The context of an attempt."""
    trace = TraceContext(traceparent, tracestate) if traceparent else None
    return Context(attempt, 20, 3_600.0, None, Untraced(trace))


def ignore(_event: Event) -> None:
    """For a handler that nobody observes."""


@asynccontextmanager
async def handler_for(url: str, emit: Emit = ignore, **options: Any) -> AsyncIterator[HttpHandler]:
    """An open HTTP handler."""
    handler = HttpHandler(HttpConfig(url, **options), StoppedClock(), emit)
    await handler.open()
    try:
        yield handler
    finally:
        await handler.close()


async def attempt_at(url: str, item: Item | None = None, **options: Any) -> Complete:
    """One attempt, by a handler of its own."""
    async with handler_for(url, **options) as handler, asyncio.timeout(PATIENCE_SECONDS):
        return await handler.attempt(item or an_item(), a_context())


async def failure_at(url: str, item: Item | None = None, **options: Any) -> AttemptError:
    """The failure of one attempt, by a handler of its own."""
    with pytest.raises(AttemptError) as caught:
        await attempt_at(url, item, **options)
    return caught.value
