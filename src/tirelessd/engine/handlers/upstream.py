"""An upstream's answer, bounded in what comes before it and in how much of it is read."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, ClassVar, Final, TypeVar, cast
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

T = TypeVar("T")

INFORMATIONAL_MAX: Final = 16
_AT_ONCE: Final = struct.pack("ii", 1, 0)


class StaleConnectionError(aiohttp.ClientConnectionError):
    """A kept-alive connection turned out to be closed by the other side."""


class UnaskedAnswerError(aiohttp.ClientConnectionError):
    """An answer lay on a kept-alive connection before anything was asked."""


class TooManyInformationalError(aiohttp.ClientError):
    """The upstream sent one 1xx after the other instead of an answer."""


class UpstreamResponse(aiohttp.ClientResponse):
    """aiohttp's response, with the bounds it leaves to the application.

    Left before its end, by an error or a cancellation too, it drops its connection at once. aiohttp
    merely closes it, and then unsent bytes would keep it open for a peer that does not read.
    """

    # Weak, so that a connection is forgotten when it is gone.
    _used: ClassVar[WeakSet[ResponseHandler]] = WeakSet()
    _protocol_used: ResponseHandler

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read up to the end of the headers.

        Raises `StaleConnectionError` when a connection used before breaks without an answer,
        `UnaskedAnswerError` when there is one already, which must not pass for this request's, and
        `TooManyInformationalError` after `INFORMATIONAL_MAX` answers of 1xx.
        """
        protocol = cast(ResponseHandler, connection.protocol)
        is_reused = protocol in self._used
        self._used.add(protocol)
        self._protocol_used = protocol
        # Buggy proxies say goodbye with a 408 on idle connections, and worse.
        if is_reused and protocol.should_close and protocol.exception() is None:
            _drop(connection)
            raise UnaskedAnswerError
        # aiohttp reads any number of 1xx in one go; this is the only place to count them.
        protocol.read = _bounded(protocol.read)  # type: ignore[method-assign]
        try:
            return await super().start(connection)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if is_reused:
                raise StaleConnectionError from error
            raise
        finally:
            del protocol.read

    async def read_at_most(self, limit: int) -> bytes:
        """The body up to so many bytes; when it is longer, its rest is never read.

        Raises `aiohttp.ClientError` when it ends too early.
        """
        chunks: list[bytes] = []
        size = 0
        while size <= limit:
            chunk = await self.content.readany()
            if not chunk:
                self._check_end()
                break
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)[:limit]

    def close(self) -> None:
        """Drop the connection, unless the answer has been read to its end."""
        self._drop_unfinished()
        super().close()

    def release(self) -> Any:
        """Drop the connection, unless the answer has been read to its end."""
        self._drop_unfinished()
        return super().release()

    def _check_end(self) -> None:
        """A body without a length ends with the connection, but not with a broken one."""
        is_measured = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        broken = self._protocol_used.exception()
        if not is_measured and isinstance(broken, aiohttp.ClientOSError):
            raise broken

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


def _bounded(read: Callable[[], Coroutine[Any, Any, T]]) -> Callable[[], Coroutine[Any, Any, T]]:
    """The reading of one answer's head, at most so often."""
    reads = 0

    async def read_counted() -> T:
        nonlocal reads
        reads += 1
        if reads > INFORMATIONAL_MAX + 1:
            raise TooManyInformationalError
        return await read()

    return read_counted
