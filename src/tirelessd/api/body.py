"""Request bodies: read whole, within a size and a time, and only when nothing speaks against it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from aiohttp import HttpVersion11, hdrs, web

from tirelessd.api.budget import BodyBudget
from tirelessd.api.headers import single_header
from tirelessd.api.malformed import UNREADABLE, malformed
from tirelessd.api.refusals import (
    BodyTooLarge,
    ExpectationFailed,
    RequestTimeout,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from tirelessd.api.services import Services

Document = TypeVar("Document")
Take = Callable[[bytes], None]

JSON_TYPE: Final = "application/json"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


async def defer_continue(request: web.Request) -> None:
    """aiohttp's hook for `Expect`: promise nothing yet, `read_body` does when it wants the body."""
    del request


async def read_body(services: Services, request: web.Request, limit_bytes: int) -> bytes:
    """The body, byte for byte; b"" without one. Raises what `read_pieces` does."""
    pieces: list[bytes] = []
    await read_pieces(services, request, limit_bytes, pieces.append)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def read_pieces(
    services: Services, request: web.Request, limit_bytes: int, take: Take
) -> None:
    """Hand the body over piece by piece as it comes; what `take` raises ends the reading.

    A declared length beyond the limit is refused before anything is read, an undeclared one at the
    limit. Raises `BodyTooLarge`, `RequestTimeout`, `UnsupportedEncoding`, `MalformedRequest`,
    `ExpectationFailed` or `Overloaded`; a broken connection is a `ConnectionError`.
    """
    # Everything that headers can tell is told before a byte of the body is read or invited.
    _check_headers(request, limit_bytes)
    if hdrs.EXPECT in request.headers:
        await _promise(request)
    content = request.content
    if content.is_eof():
        # The common case: the body came along with the headers, no need to wait or set a timer.
        body = content.read_nowait()
        if len(body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        services.bodies.charge(request, len(body))
        take(body)
        return
    seconds = services.limits.body_seconds
    try:
        async with asyncio.timeout(seconds):
            await _collect(services.bodies, request, limit_bytes, take)
    except TimeoutError:
        raise RequestTimeout("body", seconds) from None


async def read_json(services: Services, request: web.Request, shape: type[Document]) -> Document:
    """The body as a JSON document of this shape; an empty body, of whatever type, reads as `{}`.

    Raises what `read_body` does, `UnsupportedMediaType`, and `InvalidRequest` for anything that is
    not such a document.
    """
    # Client libraries name a type for the body they do not send, and mean nothing by it.
    if request.can_read_body:
        check_media_type(request, JSON_TYPE, is_optional=True)
    body = await read_body(services, request, services.limits.body_bytes)
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except UNREADABLE as error:
        raise malformed(error, "body") from None


def check_media_type(request: web.Request, expected: str, *, is_optional: bool = False) -> None:
    """Refuse a body of another type, or in another encoding of text than UTF-8.

    Where it is optional, a request that names no type is taken at its body's word.
    """
    named = single_header(request.headers, hdrs.CONTENT_TYPE)
    if named is None and is_optional:
        return
    media_type, *parameters = (part.strip().lower() for part in (named or "").split(";"))
    if media_type != expected or any(map(_is_other_charset, parameters)):
        raise UnsupportedMediaType(expected)


def _is_other_charset(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "charset" and value.strip(' "') not in {"utf-8", "utf8"}


def _check_headers(request: web.Request, limit_bytes: int) -> None:
    headers = request.headers
    if hdrs.CONTENT_ENCODING in headers:
        raise UnsupportedEncoding
    if (request.content_length or 0) > limit_bytes:
        raise BodyTooLarge(limit_bytes)


async def _collect(bodies: BodyBudget, request: web.Request, limit_bytes: int, take: Take) -> None:
    missing = limit_bytes
    while chunk := await request.content.readany():
        missing -= len(chunk)
        if missing < 0:
            raise BodyTooLarge(limit_bytes)
        # By what has come and not by what was declared: a client that only promises pays nothing.
        bodies.charge(request, len(chunk))
        take(chunk)


async def _promise(request: web.Request) -> None:
    """Tell a waiting client to send its body, now that it will be read."""
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise ExpectationFailed
    # A client that did not wait has sent its body by now, and HTTP/1.0 knows no interim answers.
    if request.version >= HttpVersion11 and not request.content.is_eof():
        await request.writer.write(_CONTINUE)
        # The answer proper has not begun: its headers are still to be sent.
        request.writer.output_size = 0
