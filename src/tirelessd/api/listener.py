"""A listening address: opens, serves an application within limits, and closes in bounded time."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Final, Literal, NoReturn

from aiohttp import web

from tirelessd.api.accept_queue import take_all
from tirelessd.api.connection import Connection, Roster
from tirelessd.api.limits import Limits
from tirelessd.core.errors import StartError
from tirelessd.core.events import Emit, ListenerOpened

ListenerName = Literal["api", "ops"]

# What a burst of new connections may pile up to while the loop is busy with a commit.
BACKLOG: Final = 1_024
HANDLER_SECONDS: Final = 1.0
SETTLE_ROUNDS: Final = 3


class Listener:
    """Serves one application on one address; started once, stopped once.

    `name` is the section of the settings that it stands for. `spare_descriptors` of the process's
    file descriptors are left for others, however many clients come.
    """

    def __init__(
        self,
        name: ListenerName,
        app: web.Application,
        host: str,
        port: int,
        limits: Limits,
        emit: Emit,
        spare_descriptors: int = 0,
    ) -> None:
        self._name = name
        self._host = host
        self._port = port
        self._emit = emit
        self._limits = limits
        self._spare_descriptors = spare_descriptors
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=HANDLER_SECONDS)
        self._server: asyncio.Server | None = None
        self._roster: Roster | None = None

    @property
    def port(self) -> int:
        """The port it listens on; the configured one until it does."""
        if self._server is None or not self._server.sockets:
            return self._port
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return 0 if self._roster is None else len(self._roster)

    async def bind(self) -> None:
        """Take the address; raises `StartError` naming the setting when it cannot be had.

        So what cannot listen is known before anything else is begun.
        """
        await self._runner.setup()
        self._roster = Roster(self._limits, self._emit, self._spare_descriptors)
        # Not through aiohttp's own site: it has no way to be given another class of connection.
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connect, self._host, self._port, backlog=BACKLOG, start_serving=False
            )
        except OSError as error:
            await self._fail(error)

    async def start(self) -> None:
        """Listen, on the address that `bind` took, if it did; raises `StartError` as it does."""
        if self._server is None:
            await self.bind()
        assert self._server is not None
        try:
            await self._server.start_serving()
        except OSError as error:
            self._server.close()
            self._server = None
            await self._fail(error)
        self._emit(ListenerOpened(self._name, self._url()))

    async def _fail(self, error: OSError) -> NoReturn:
        await self._runner.cleanup()
        where = f"{self._name}.host, {self._name}.port"
        # asyncio puts words of its own around the system's.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        message = f"{where}: cannot listen on {self._host}:{self._port}: {reason}"
        raise StartError(message) from None

    def _connect(self) -> Connection:
        manager = self._runner.server
        assert manager is not None
        assert self._roster is not None
        return Connection(manager, self._roster)

    def begin_leaving(self) -> None:
        """Make every answer the last one of its connection, while new ones are still taken.

        A client that keeps a connection would else send its next request into the closing one, and
        never know whether it was read.
        """
        if self._roster is not None:
            self._roster.is_leaving = True

    async def stop(self, seconds: float) -> None:
        """Take no more connections, answer what has begun, then close all.

        Requests get `seconds` to finish, and then their handlers `HANDLER_SECONDS` to end what
        nobody waits for any more, so that a client that drips cannot hold a shutdown. Idempotent.
        """
        server, self._server = self._server, None
        if server is None or self._roster is None:
            return
        self.begin_leaving()
        await self._take_in_the_last(server)
        # Then what they, and all others, have sent by now.
        await _settle()
        await self._roster.finish(seconds)
        await self._runner.cleanup()
        # aiohttp loses sight of handlers whose connection is gone; they must not outlive the store.
        await self._roster.end_handlers(HANDLER_SECONDS)

    async def _take_in_the_last(self, server: asyncio.Server) -> None:
        """Stop listening, but serve those whose connections the kernel has already made.

        A duplicate keeps the socket open until all of them are taken.
        """
        listening = [socket.socket(fileno=os.dup(each.fileno())) for each in server.sockets]
        server.close()
        for each in listening:
            with each:
                waiting = take_all(each)
            # Served only now: whoever connected meanwhile would be reset after all.
            for accepted in waiting:
                await self._serve(accepted)

    async def _serve(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._connect, accepted)
        except OSError:
            accepted.close()

    def _url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"


async def _settle() -> None:
    """Take in the requests that the kernel holds already.

    A round of the loop polls before it runs, and reading and serving are a round each.
    """
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)
