"""Names into addresses, in threads that nothing else waits for."""

from __future__ import annotations

import socket
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from tirelessd.engine.handlers.threads import DaemonThreads

LOOKUPS_AT_ONCE: Final = 2
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class ThreadResolver(AbstractResolver):
    """The system's resolver, beside the loop's executor: a slow name server holds up DNS alone.

    Lookups of one name are merged by aiohttp, so a handler with its one host needs few threads.
    """

    def __init__(self) -> None:
        self._threads = DaemonThreads("tirelessd dns", LOOKUPS_AT_ONCE)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, in the system's order; raises `OSError` when there are none.

        A cancelled lookup goes on in its thread, unheard, for as long as the system allows it.
        """
        return await self._threads.run(_look_up, host, port, family)

    async def close(self) -> None:
        """Let the threads go; a lookup that hangs does not hold this up."""
        self._threads.close()


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    try:
        # ADDRCONFIG leaves out families that this host has no address of its own for.
        found = socket.getaddrinfo(
            host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except UnicodeError as error:
        raise OSError(f"{host!r} is no host name: {error}") from error
    return [
        ResolveResult(
            hostname=host,
            # The numeric form keeps the scope of a link-local IPv6 address.
            host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
            port=port,
            family=kind,
            proto=protocol,
            flags=_NUMERIC,
        )
        for kind, _, protocol, _, address in found
    ]
