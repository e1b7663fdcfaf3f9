"""An upstream that answers byte by byte, and listeners that only count who comes."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.faults.upstream import Hit, Upstream, words_of

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
AT_ONCE = struct.pack("ii", 1, 0)


@dataclass
class Wire:
    """A connection of the daemon's and the request that has just been read from it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    line: bytes = b""
    attempt: int = 0
    sent_bytes: int = 0

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait until the system has taken them."""
        self.writer.write(data)
        await self.writer.drain()
        self.sent_bytes += len(data)

    async def pour(self, data: bytes, most_bytes: int) -> None:
        """Send bytes over and over, until so many have left or the daemon has."""
        while self.sent_bytes < most_bytes:
            await self.send(data)

    async def drip(self, data: bytes, seconds: float) -> None:
        """Send byte by byte, one in so many seconds, until the daemon leaves."""
        for byte in data:
            await self.send(bytes([byte]))
            if await self.is_gone(seconds):
                return

    def reset(self) -> None:
        """End the connection with a RST."""
        wire: socket.socket = self.writer.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.writer.transport.abort()

    async def is_gone(self, within_seconds: float = 60.0) -> bool:
        """Whether the daemon ends the connection within so many seconds; returns when it does."""
        try:
            async with asyncio.timeout(within_seconds):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


# Answers one request; returns the status when a whole answer was sent, 0 otherwise.
Reply = Callable[[Wire], Awaitable[int]]
# Deals with a connection before a request is read, and with all that comes after.
Greeting = Callable[[Wire], Awaitable[None]]


def answer(status: int, body: bytes = b"", *lines: str) -> Reply:
    """A whole answer with a status, a body and further header lines."""
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *lines]
    return sending(
        "\r\n".join(head).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body, status
    )


def sending(data: bytes, status: int = 0) -> Reply:
    """These bytes, and the connection stays."""

    async def reply(wire: Wire) -> int:
        await wire.send(data)
        return status

    return reply


def closing(data: bytes = b"", *, is_reset: bool = False) -> Reply:
    """These bytes, and the end of the connection before anything more."""

    async def reply(wire: Wire) -> int:
        if data:
            await wire.send(data)
            # What is still to be read when a RST comes is thrown away by the receiving system.
            await wire.is_gone(0.02)
        if is_reset:
            wire.reset()
        else:
            wire.writer.close()
        return 0

    return reply


async def hanging(wire: Wire) -> int:
    """Nothing, until the daemon has had enough."""
    await wire.is_gone()
    return 0


def at_first(reply: Reply, attempts: int = 1) -> Reply:
    """One reply to the first attempts on an item, and a 200 from then on."""

    async def chosen(wire: Wire) -> int:
        return await (reply if wire.attempt <= attempts else answer(200, b"done"))(wire)

    return chosen


@dataclass
class RawUpstream(Upstream):
    """Answers by the word of a payload, as `replies` say; 200 to any other word.

    While `always` is set, it answers everything. `greeting` replaces even the reading of requests.
    """

    replies: dict[str, Reply] = field(default_factory=dict)
    always: Reply | None = None
    greeting: Greeting | None = None
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    connections: int = 0
    open_connections: int = 0
    lines: list[bytes] = field(default_factory=list)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await asyncio.start_server(
            self._accept, self.host, self.port, ssl=self.tls, backlog=1_000
        )
        self.port = self._server.sockets[0].getsockname()[1]
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.url = f"{'https' if self.tls else 'http'}://{shown}:{self.port}/"

    async def close(self) -> None:
        """Refuse connections and drop those that are open."""
        self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(Wire(reader, writer)))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, wire: Wire) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            if self.greeting is not None:
                await self.greeting(wire)
            else:
                await self._answer_all(wire)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            return  # the daemon left, which each experiment judges by itself
        finally:
            wire.writer.transport.abort()
            self.open_connections -= 1

    async def _answer_all(self, wire: Wire) -> None:
        now = asyncio.get_running_loop().time
        while not wire.writer.is_closing():
            hit = await self._read(wire)
            if hit is None:
                return
            self.hits.append(hit)
            try:
                reply = self.always or self.replies.get(hit.word) or answer(200, b"seen")
                hit.status = await reply(wire)
            finally:
                hit.ended_at = now()

    async def _read(self, wire: Wire) -> Hit | None:
        head = await wire.reader.readuntil(b"\r\n\r\n")
        started_at = asyncio.get_running_loop().time()
        wire.line, *rows = head[:-4].split(b"\r\n")
        self.lines.append(wire.line)
        pairs = [row.decode("utf-8", "surrogateescape").partition(": ") for row in rows]
        headers = {name: value for name, _, value in pairs}
        assert len(headers) == len(pairs), f"a header came twice: {head!r}"
        body = await wire.reader.readexactly(int(headers["Content-Length"]))
        wire.attempt, wire.sent_bytes = int(headers["Tirelessd-Attempt"]), 0
        word, key = words_of(body)
        digest = hashlib.sha256(body).hexdigest()
        item_id = headers["Tirelessd-Item-Id"]
        return Hit(key, item_id, wire.attempt, 0, word, started_at, headers=headers, digest=digest)


class Canary:
    """A listener that nobody should ever come to; `connections` counts who did."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._count, self._host, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _count(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.transport.abort()
