"""A client that obeys no rules: it sends bytes as they are, and writes down what comes back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from tests.faults.proxy import reset

STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Heard:
    """What came back; `end` is how the connection ended: "closed", "reset", or still "open"."""

    raw: bytes
    end: str
    seconds: float

    @property
    def statuses(self) -> list[int]:
        """Those of all answers, in order."""
        return [int(status) for status in STATUS_LINE.findall(self.raw)]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The JSON of all answers, in order."""
        found, rest = [], self.raw
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            body, rest = (rest[: int(size[1])], rest[int(size[1]) :]) if size else (b"", rest)
            with suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(body))
        return found

    @property
    def codes(self) -> list[str]:
        """The codes of all problem documents, in order."""
        return [each["code"] for each in self.documents if "code" in each]


async def say(port: int, *parts: bytes, seconds: float = 2.0) -> Heard:
    """Send and listen until the other side ends the connection, for so long at most."""
    return await pour(port, _each(parts), seconds=seconds)


async def _each(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def pour(port: int, parts: AsyncIterator[bytes], *, seconds: float = 2.0) -> Heard:
    """As `say`, however much there is to send; what is not taken is kept, and the end noted."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = loop.create_task(_send(writer, parts))
    raw, end = b"", "closed"
    try:
        async with asyncio.timeout(seconds):
            while data := await reader.read(CHUNK_BYTES):
                raw += data
    except TimeoutError:
        end = "open"
    except ConnectionError:
        end = "reset"
    taken = loop.time() - began_at
    sending.cancel()
    await asyncio.wait({sending})
    writer.transport.abort()
    return Heard(raw, end, taken)


async def _send(writer: asyncio.StreamWriter, parts: AsyncIterator[bytes]) -> None:
    with suppress(ConnectionError):
        async for part in parts:
            writer.write(part)
            await writer.drain()


async def hang_up(port: int, *parts: bytes, is_rude: bool = True) -> None:
    """Send and go without reading a byte: with RST, or with FIN."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(parts))
    if is_rude:
        reset(writer)
    else:
        writer.close()


def request(
    body: bytes = b"",
    *fields: str,
    method: str = "POST",
    path: str = "/v1/queues/work/items",
) -> bytes:
    """A whole request; its last answer ends the connection unless a field says otherwise."""
    lines = [f"{method} {path} HTTP/1.1", "Host: t", *fields, f"Content-Length: {len(body)}"]
    if not any(field.lower().startswith("connection:") for field in fields):
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape") + body


def port_of(url: str) -> int:
    """The port in an address."""
    return int(url.rpartition(":")[2])
