"""HTTP/1.1 as bytes, for a client that must cost far less than the server it measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


class WireError(ValueError):
    """An answer that this client has no use for; the message shows its head."""


def make_request(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of one request; `Host` and `Content-Length` are added."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name}: {text}" for name, text in (headers or {}).items()),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + _END_OF_HEAD + body


class AnswerReader:
    """Finds the end of each answer in a stream of bytes, however it was cut.

    It knows a status line and `Content-Length`, no chunks and no pipelining: what answers here is
    ours. The body is counted, not kept.
    """

    __slots__ = ("_held", "_missing", "body_bytes", "status")

    def __init__(self) -> None:
        self.status = 0
        self.body_bytes = 0
        self._held = b""
        self._missing = 0

    def feed(self, data: bytes) -> bool:
        """Whether the answer is whole now; raises `WireError` for what cannot be understood."""
        if self._missing:
            self._missing -= len(data)
        else:
            if self._held:
                data = self._held + data
            end = data.find(_END_OF_HEAD)
            if end < 0:
                self._held = data
                return False
            self._held = b""
            self._read_head(data, end)
            self._missing = self.body_bytes + end + len(_END_OF_HEAD) - len(data)
        if self._missing < 0:
            raise WireError(f"{-self._missing} bytes more than the answer was to have")
        return not self._missing

    def _read_head(self, data: bytes, end: int) -> None:
        # One pass in C over some two hundred bytes; a real parser would cost ten times as much.
        head = data[: end + 2].lower()
        place = head.find(_LENGTH)
        if place < 0 or not head.startswith(b"http/1.1 "):
            raise WireError(f"no answer with a length: {data[:200]!r}")
        place += len(_LENGTH)
        self.status = int(head[9:12])
        self.body_bytes = int(head[place : head.find(b"\r\n", place)])
