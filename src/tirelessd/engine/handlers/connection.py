"""A connection to an upstream: aiohttp's, with the bounds and the certainty that it leaves open."""

from __future__ import annotations

import asyncio
import functools
import socket
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

from tirelessd.core.clock import Clock
from tirelessd.core.events import Emit, UpstreamConnected
from tirelessd.engine.handlers.resolver import ThreadResolver

INFORMATIONAL_MAX: Final = 16
# What surrounds a body: heads, chunk sizes and extensions, trailers. A body that trickles in chunks
# of one byte brings five bytes of framing with each, which is wasteful but honest.
FRAMING_MAX_BYTES: Final = 65_536
FRAMING_MAX_PER_BODY_BYTE: Final = 8
# Of what a system keeps unread, half of what is wanted of an answer, for it doubles the figure: an
# event loop reads all there is in one go, for each slot at once.
SOCKET_MIN_BYTES: Final = 32_768
SOCKET_MAX_BYTES: Final = 1_048_576
PIECE_BYTES: Final = 16_384
_HEAD_END: Final = b"\r\n\r\n"


class TooManyInformationalError(aiohttp.ClientError):
    """The upstream sent one 1xx after the other instead of an answer."""


class TooMuchFramingError(aiohttp.ClientError):
    """The upstream sent header lines, chunk extensions or trailers without an end."""


class UpstreamProtocol(ResponseHandler):
    """Reads the answers that come over one connection, one to each request.

    aiohttp parses what arrives in one piece at once, and a fault anywhere in it undoes all of it:
    bytes behind an answer would spoil that answer, or not, as the network happened to cut them. So
    an answer's head is parsed by itself, and a fault behind it is one of the body alone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0
        self.received_bytes = 0
        self._informational = 0
        self._body: StreamReader | None = None
        # What has come and is not parsed yet, and the last bytes that were.
        self._waiting = b""
        self._seam = b""

    @property
    def should_close(self) -> bool:
        """Whether no other request may go over this connection."""
        return super().should_close or bool(self._waiting)

    def set_response_params(self, **params: Any) -> None:
        """Get ready for the answer to another request; aiohttp calls it just before sending."""
        self.requests += 1
        self.received_bytes = 0
        self._informational = 0
        self._body = None
        self._seam = b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, up to the first fault, and tell whoever reads the body of it.

        Without data, the reader has caught up and more can be parsed. What a parser that was told
        to pause is given, it copies each time, so that it is given little and no more then.
        """
        self._waiting += data
        if not data:
            super().data_received(b"")
        while self._waiting and not self._reading_paused and self.exception() is None:
            self._parse_piece()
        self._check_framing()
        error = self.exception()
        if error is not None and self._body is not None and not self._body.is_eof():
            # aiohttp leaves the reader of the body waiting for what will never be parsed.
            self._body.set_exception(_as_client_error(error))

    def _parse_piece(self) -> None:
        end = PIECE_BYTES
        if self._body is None:
            found = (self._seam + self._waiting[:PIECE_BYTES]).find(_HEAD_END)
            if found >= 0:
                end = found + len(_HEAD_END) - len(self._seam)
        piece, self._waiting = self._waiting[:end], self._waiting[end:]
        self._seam = (self._seam + piece)[1 - len(_HEAD_END) :]
        self.received_bytes += len(piece)
        super().data_received(piece)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take the head of an answer; aiohttp calls it for each."""
        message, body = data
        if self._body is not None:
            # Nobody asked for a second one, so nobody may find it here.
            self.force_close()
            return
        if 100 <= message.code < 200 and message.code != 101:
            self._informational += 1
            if self._informational > INFORMATIONAL_MAX:
                self.set_exception(TooManyInformationalError())
                return
        else:
            self._body = body
        super().feed_data(data, size)

    def _check_framing(self) -> None:
        body_bytes = self._body.total_bytes if self._body is not None else 0
        framing_bytes = self.received_bytes - body_bytes
        most = FRAMING_MAX_BYTES + FRAMING_MAX_PER_BODY_BYTE * body_bytes
        if framing_bytes > most and self.exception() is None and not self._has_ended():
            self.set_exception(TooMuchFramingError())

    def _has_ended(self) -> bool:
        return self._body is not None and self._body.is_eof()


def _as_client_error(error: BaseException) -> aiohttp.ClientError:
    if isinstance(error, aiohttp.ClientError):
        return error
    spoiled = aiohttp.ClientPayloadError("what came is no body")
    spoiled.__cause__ = error
    return spoiled


class UpstreamConnector(aiohttp.TCPConnector):
    """aiohttp's pool of connections, using a kept one only while its host has that address.

    Otherwise an upstream that has moved would be sought where it was for as long as the old place
    answers and work keeps the connections busy.
    """

    def __init__(
        self,
        resolver: ThreadResolver,
        answer_bytes: int,
        clock: Clock,
        emit: Emit,
        **options: Any,
    ) -> None:
        room_bytes = min(max(answer_bytes // 2, SOCKET_MIN_BYTES), SOCKET_MAX_BYTES)
        make_socket = functools.partial(_small_socket, room_bytes)
        super().__init__(
            resolver=resolver, use_dns_cache=False, socket_factory=make_socket, **options
        )
        self._names = resolver
        self._clock = clock
        self._emit = emit
        factory: Any = functools.partial(UpstreamProtocol, loop=self._loop)
        self._factory = factory

    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **options: Any) -> Connection:
        """A connection for one request, kept or new."""
        began_at = self._clock.monotonic()
        connection = await self._connect(req, *args, **options)
        waited_seconds = self._clock.monotonic() - began_at
        is_reused = cast(UpstreamProtocol, connection.protocol).requests > 0
        self._emit(UpstreamConnected(waited_seconds, is_reused))
        return connection

    async def _connect(self, req: aiohttp.ClientRequest, *args: Any, **options: Any) -> Connection:
        host, port = str(req.url.raw_host), int(req.url.port or 0)
        await self._names.renew(host, port, self._family)
        while True:
            connection = await super().connect(req, *args, **options)
            if self._is_current(connection, host, port):
                return connection
            connection.close()

    def counts(self) -> tuple[int, int]:
        """How many connections have a request, or are being made for one; how many are kept."""
        return len(self._acquired), sum(len(kept) for kept in self._conns.values())

    def _is_current(self, connection: Connection, host: str, port: int) -> bool:
        is_new = cast(UpstreamProtocol, connection.protocol).requests == 0
        if is_new or connection.transport is None:
            return True
        address = connection.transport.get_extra_info("peername")[0]
        return self._names.is_current(address, host, port, self._family)


def _small_socket(room_bytes: int, address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that takes little more than is read of an answer, whatever the upstream sends."""
    family, kind, protocol, _, _ = address
    wire = socket.socket(family, kind, protocol)
    # Before connecting, for the window is agreed on then.
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_bytes)
    return wire
