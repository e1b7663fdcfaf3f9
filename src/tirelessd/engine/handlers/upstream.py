"""An upstream's answer, bounded in how much of it is read."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import Any, Final, cast

import aiohttp
from aiohttp.connector import Connection

from tirelessd.engine.handlers.connection import UpstreamProtocol

_AT_ONCE: Final = struct.pack("ii", 1, 0)


class StaleConnectionError(aiohttp.ClientConnectionError):
    """A kept-alive connection turned out to be closed by the other side."""


class UnaskedAnswerError(aiohttp.ClientConnectionError):
    """An answer lay on a kept-alive connection before anything was asked."""


class HeadBrokenOffError(aiohttp.ClientConnectionError):
    """A connection broke in the middle of an answer's head, after `received_bytes` of it."""

    def __init__(self, received_bytes: int) -> None:
        super().__init__(received_bytes)
        self.received_bytes = received_bytes


class BodyBrokenOffError(aiohttp.ClientPayloadError):
    """A body ended too early; `broken` is the connection's own error, if it has one."""

    def __init__(self, broken: BaseException | None) -> None:
        super().__init__(broken)
        self.broken = broken


class UpstreamResponse(aiohttp.ClientResponse):
    """aiohttp's response, with the bounds it leaves to the application.

    Left before its end, by an error or a cancellation too, it drops its connection at once. aiohttp
    merely closes it, and then unsent bytes would keep it open for a peer that does not read.
    """

    _used_protocol: UpstreamProtocol

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read up to the end of the headers.

        Raises `HeadBrokenOffError` when the connection breaks within them, `StaleConnectionError`
        when one used before breaks without an answer, and `UnaskedAnswerError` when there is one
        already, which must not pass for this request's.
        """
        protocol = self._used_protocol = cast(UpstreamProtocol, connection.protocol)
        is_reused = protocol.requests > 1
        # Buggy proxies say goodbye with a 408 on idle connections, and worse.
        if is_reused and protocol.should_close and protocol.exception() is None:
            _drop(connection)
            raise UnaskedAnswerError
        try:
            return await super().start(connection)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error.__cause__, ssl.SSLError):
                raise
            if protocol.received_bytes:
                raise HeadBrokenOffError(protocol.received_bytes) from error
            if is_reused:
                raise StaleConnectionError from error
            raise

    async def read_at_most(self, limit: int) -> bytes:
        """The body up to so many bytes; when it is longer, its rest is never read.

        Raises `BodyBrokenOffError` when it ends too early.
        """
        chunks: list[bytes] = []
        size = 0
        while size <= limit:
            chunk = await self._next_chunk()
            if not chunk:
                break
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)[:limit]

    async def _next_chunk(self) -> bytes:
        """What has come of the body since, empty at its end."""
        try:
            chunk = await self.content.readany()
        except aiohttp.ClientPayloadError as error:
            raise BodyBrokenOffError(self._used_protocol.exception()) from error
        # A body without a length ends with the connection, but not with a broken one.
        broken = self._used_protocol.exception()
        is_measured = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        if not chunk and not is_measured and isinstance(broken, aiohttp.ClientOSError):
            raise BodyBrokenOffError(broken)
        return chunk

    def close(self) -> None:
        """Drop the connection, unless the answer has been read to its end."""
        self._drop_unfinished()
        super().close()

    def release(self) -> Any:
        """Drop the connection, unless the answer has been read to its end."""
        self._drop_unfinished()
        return super().release()

    def _drop_unfinished(self) -> None:
        if self.connection is not None:
            _drop(self.connection)


def _drop(connection: Connection) -> None:
    """End a connection with a RST: the system, too, would go on offering what nobody reads."""
    transport = connection.transport
    if transport is None:
        return
    with suppress(OSError):  # raised when it has gone by itself
        wire: socket.socket = transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
