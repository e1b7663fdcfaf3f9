"""Answers that are no problem: JSON, and raw bytes that stay harmless in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time

from tirelessd.api.headers import DEFAULT_CONTENT_TYPE, is_printable_ascii
from tirelessd.core.item import Body

SERVER: Final = "tirelessd"
REPLAYED: Final = "Idempotency-Replayed"
_JSON_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "Server": SERVER,
}
# Bytes of a caller or an upstream are shown to people too: as a download, never as a page of ours.
_RAW_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Server": SERVER,
    "X-Content-Type-Options": "nosniff",
}
_encoder: Final = msgspec.json.Encoder()


class WholeAnswer(web.Response):
    """An answer of known size that a `Connection` sends in one piece.

    aiohttp takes its head through five calls that could each change it, which is a tenth of what
    the loop spends on an item. Everywhere else, and when a connection is to be closed or a client
    speaks HTTP/1.0, this is a response as any other.
    """

    def wire(self) -> bytes:
        """Head and body for a connection that stays open."""
        self._keep_alive = True
        body = self.body
        assert isinstance(body, bytes)
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(body)}", f"Date: {rfc822_formatted_time()}", "", ""]
        return "\r\n".join(lines).encode() + body


def json_answer(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """The value as JSON."""
    fields = _JSON_HEADERS if headers is None else {**_JSON_HEADERS, **headers}
    return WholeAnswer(body=_encoder.encode(value), status=status, headers=fields)


def raw_answer(body: Body) -> web.Response:
    """The bytes as they were stored, under the content type they were stored with."""
    is_showable = body.content_type != "" and is_printable_ascii(body.content_type)
    content_type = body.content_type if is_showable else DEFAULT_CONTENT_TYPE
    return web.Response(body=body.content, headers={**_RAW_HEADERS, "Content-Type": content_type})
