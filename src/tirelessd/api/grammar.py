"""What RFC 9112 forbids and aiohttp's parser lets pass, refused before a request comes of it.

Whatever stands before this daemon may read such a request otherwise than it is read here: then one
caller's bytes become another one's request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, hdrs
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from tirelessd.api.headers import Headers

# RFC 3986, 3.2.2 and 3.2.3: a name, an IPv4 address, or an address in brackets; then a port.
_HOST: Final = re.compile(r"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?", re.ASCII)
_VERSIONS: Final = frozenset({HttpVersion10, HttpVersion11})
# What aiohttp's parser takes where it is not told.
FIELDS_MAX: Final = 128
# What stands around a name and its value: ": " and the end of the line.
FRAME_BYTES: Final = 4
_GENERAL: Final = "this is not HTTP as RFC 9112 has it"


class Head(Protocol):
    """A request's head, as aiohttp's parser has read it."""

    method: str
    path: str
    version: HttpVersion
    headers: Headers
    raw_headers: Sequence[tuple[bytes, bytes]]


class Parsed(NamedTuple):
    """What a parser made of some bytes: requests with their bodies, and what follows an upgrade."""

    messages: Sequence[tuple[Head, Any]]
    has_upgraded: bool
    tail: bytes


class Parser(Protocol):
    """The one call of aiohttp's parser that makes requests."""

    def feed_data(self, data: bytes) -> Any:
        """Take bytes in; what they came to, as `Parsed`."""


class Ungrammatical(BadHttpMessage):
    """A request that breaks the rules; the message is ours and quotes nothing of it."""


class StrictParser:
    """aiohttp's parser, with a look at each request that it makes.

    The headers of a request may have so many bytes together.
    """

    __slots__ = ("_fed_bytes", "_header_bytes", "_parser")

    def __init__(self, parser: Parser, header_bytes: int) -> None:
        self._parser = parser
        self._header_bytes = header_bytes
        # Since the last request, the bytes of its body included: none has a larger head than that.
        self._fed_bytes = 0

    def feed_data(self, data: bytes) -> Parsed:
        """As the parser's own; raises `BadHttpMessage` for what must not be served."""
        parsed: Parsed = self._parser.feed_data(data)
        self._fed_bytes += len(data)
        for head, _ in parsed[0]:
            check_head(head)
            if self._fed_bytes > self._header_bytes:
                check_size(head, self._header_bytes)
        if parsed[0]:
            self._fed_bytes = 0
        return parsed

    def __getattr__(self, name: str) -> Any:
        """Everything else is the parser's own affair."""
        return getattr(self._parser, name)


def check_head(head: Head) -> None:
    """Raise `Ungrammatical` for a head that the parser took and a server must not."""
    headers = head.headers
    if head.version not in _VERSIONS:
        raise Ungrammatical("HTTP/1.1 and HTTP/1.0 are spoken here")
    if head.method == hdrs.METH_CONNECT:
        # What follows would be meant for somebody else.
        raise Ungrammatical("this is no proxy")
    if "#" in head.path:
        raise Ungrammatical("a request's target has no fragment")
    if _HOST.fullmatch(headers.get(hdrs.HOST, "")) is None:
        raise Ungrammatical("Host holds no host")
    if hdrs.TRANSFER_ENCODING in headers:
        _check_coding(head)


def check_size(head: Head, most: int) -> None:
    """Raise `Ungrammatical` for headers of more bytes, as they are on the wire."""
    size_bytes = sum([len(name) + len(value) + FRAME_BYTES for name, value in head.raw_headers])
    if size_bytes > most:
        raise Ungrammatical(too_large(most))


def too_large(most: int) -> str:
    """What is said of headers that have more bytes."""
    return f"the headers are larger than {most} bytes"


def complaint(error: BaseException | None) -> str:
    """What to tell the sender; the parser's own words would quote the request."""
    match error:
        case Ungrammatical():
            return error.message
        case LineTooLong():
            return "the request line or a header field is too long"
        case BadHttpMessage(message="Too many headers received"):
            return f"there are more than {FIELDS_MAX} header fields"
        case _:
            return _GENERAL


def _check_coding(head: Head) -> None:
    """Only plain chunks: another coding would pass for payload, and HTTP/1.0 has none."""
    coding = head.headers[hdrs.TRANSFER_ENCODING].strip().lower()
    if coding != "chunked" or head.version < HttpVersion11:
        raise Ungrammatical("the only Transfer-Encoding read here is chunked, in HTTP/1.1")
