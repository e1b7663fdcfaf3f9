"""A TCP proxy that does to bytes what networks do: late, in drips, cut off, or not at all."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.waiting import a_moment

CHUNK_BYTES = 1 << 16


@dataclass
class Trouble:
    """What happens to one direction of every connection; the default is nothing.

    `drip_bytes` at a time go through every `drip_seconds`. After `cut_after` bytes the connection
    ends as `cut` says: "rst", "fin" (both ways), "half" (this direction only) or "hole" (bytes
    vanish).
    """

    latency_seconds: float = 0.0
    drip_bytes: int = 0
    drip_seconds: float = 0.0
    cut_after: int | None = None
    cut: str = "rst"


class Proxy:
    """Listens on loopback and passes on to a port of it; what is set holds for bytes from then on.

    `target_port` may be asked anew for each connection, as a restarted daemon has another one.
    `is_refusing` closes new connections at once, with RST.
    """

    def __init__(self, target_port: int | Callable[[], int]) -> None:
        self._target_port = target_port
        self.to_server, self.to_client = Trouble(), Trouble()
        self.is_refusing = False
        self.connections = 0
        self._ways: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening and drop every connection."""
        self._server.close()
        tasks = list(self._ways)
        self.reset_all()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def heal(self) -> None:
        """Pass everything on again."""
        self.to_server, self.to_client = Trouble(), Trouble()
        self.is_refusing = False

    def reset_all(self) -> None:
        """Drop every open connection with RST, on both sides."""
        for writers in list(self._ways.values()):
            for writer in writers:
                reset(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._ways[task] = [writer]
        try:
            if self.is_refusing:
                reset(writer)
                return
            await self._join(task, reader, writer)
        except OSError:
            reset(writer)
        finally:
            for each in self._ways.pop(task):
                each.close()

    async def _join(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        port = self._target_port if isinstance(self._target_port, int) else self._target_port()
        there, away = await asyncio.open_connection("127.0.0.1", port)
        self._ways[task].append(away)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass_on(reader, away, writer, is_to_server=True))
            group.create_task(self._pass_on(there, writer, away, is_to_server=False))

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        *,
        is_to_server: bool,
    ) -> None:
        passed = 0
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                trouble = self.to_server if is_to_server else self.to_client
                room = len(data)
                if trouble.cut_after is not None:
                    room = max(0, trouble.cut_after - passed)
                await self._put(writer, data[:room], trouble)
                passed += min(len(data), room)
                if room < len(data) and not self._cut(writer, back, trouble.cut):
                    return
            if writer.can_write_eof():
                writer.write_eof()

    async def _put(self, writer: asyncio.StreamWriter, data: bytes, trouble: Trouble) -> None:
        if trouble.latency_seconds:
            await a_moment(trouble.latency_seconds)
        step = trouble.drip_bytes or len(data) or 1
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            if trouble.drip_bytes:
                await a_moment(trouble.drip_seconds)

    def _cut(self, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, how: str) -> bool:
        """End the connection in the given way; true when the rest is to be read and forgotten."""
        if how == "hole":
            return True
        if how == "rst":
            reset(writer)
            reset(back)
        elif how == "half":
            writer.write_eof()
        else:
            writer.close()
            back.close()
        return False


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other side reads ECONNRESET."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
