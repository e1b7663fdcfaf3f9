"""Names into addresses, in threads that nothing else waits for, and asked again as they change."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from socket import getaddrinfo
from typing import Final

import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from tirelessd.core.clock import Clock
from tirelessd.engine.handlers.threads import DaemonThreads

# A moved upstream is found within fifteen seconds, whether it is asked often or seldom: an answer
# is renewed after five, beside the attempts, and after ten one attempt waits for that a little.
FRESH_SECONDS: Final = 5.0
STALE_SECONDS: Final = 10.0
RENEWAL_WAIT_SECONDS: Final = 0.5
# A lookup that takes longer is left to itself; the system ends it after half a minute at most.
LOOKUP_SECONDS: Final = 5.0
LOOKUPS_AT_ONCE: Final = 4
# Longer than between two renewals, so that a busy name keeps its thread.
IDLE_THREAD_SECONDS: Final = 10.0
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

_Name = tuple[str, int, socket.AddressFamily]
_Lookup = asyncio.Future[list[ResolveResult]]


class _Answer(msgspec.Struct, frozen=True):
    """The addresses of a name, handed out in turn, and when they were learned."""

    addresses: deque[ResolveResult]
    learned_at: float


class ThreadResolver(AbstractResolver):
    """The system's resolver, beside the loop's executor: a slow name server holds up DNS alone.

    Lookups of one name are merged, and answers kept for `FRESH_SECONDS`; a handler has one name.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._threads = DaemonThreads("tirelessd dns", LOOKUPS_AT_ONCE, IDLE_THREAD_SECONDS)
        self._answers: dict[_Name, _Answer] = {}
        self._lookups: dict[_Name, tuple[_Lookup, float]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, another one first each time; raises `OSError` without any.

        A cancelled lookup goes on in its thread, unheard, for as long as the system allows it.
        """
        name = (host, port, family)
        answer = self._answers.get(name)
        if answer is None or self._now() - answer.learned_at >= FRESH_SECONDS:
            found = await asyncio.shield(self._look_up(name))
            answer = self._answers.get(name) or _Answer(deque(found), self._now())
        answer.addresses.rotate(-1)
        return list(answer.addresses)

    async def renew(self, host: str, port: int, family: socket.AddressFamily) -> None:
        """Ask again for a name whose answer is getting old, if it was ever looked up.

        Returns at once, or within `RENEWAL_WAIT_SECONDS` when nobody has asked for long. Without a
        new answer the old one stands: connections there are outlast the name server.
        """
        name = (host, port, family)
        answer = self._answers.get(name)
        if answer is None:
            return
        age_seconds = self._now() - answer.learned_at
        if age_seconds < FRESH_SECONDS or self._is_asked(name):
            return
        lookup = self._look_up(name)
        if age_seconds >= STALE_SECONDS:
            await asyncio.wait({lookup}, timeout=RENEWAL_WAIT_SECONDS)

    def is_current(self, address: str, host: str, port: int, family: socket.AddressFamily) -> bool:
        """Whether a host still has this address, as far as is known; True for one never asked."""
        answer = self._answers.get((host, port, family))
        return answer is None or any(address == each["host"] for each in answer.addresses)

    async def close(self) -> None:
        """Let the threads go; a lookup that hangs does not hold this up."""
        self._threads.close()

    def _is_asked(self, name: _Name) -> bool:
        """Whether a lookup runs, or has ended a moment ago: a failing server is not pressed."""
        return name in self._lookups and self._now() - self._lookups[name][1] < LOOKUP_SECONDS

    def _look_up(self, name: _Name) -> _Lookup:
        """The lookup of a name: one that runs already, unless it has taken too long."""
        if self._is_asked(name) and not self._lookups[name][0].done():
            return self._lookups[name][0]
        lookup = self._threads.run(_look_up, *name)
        self._lookups[name] = (lookup, self._now())
        lookup.add_done_callback(lambda ended: self._learn(name, ended))
        return lookup

    def _learn(self, name: _Name, lookup: _Lookup) -> None:
        # An error is told to whoever waits for an address; without anybody it changes nothing.
        if not lookup.cancelled() and lookup.exception() is None:
            self._answers[name] = _Answer(deque(lookup.result()), self._now())


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    try:
        # ADDRCONFIG leaves out families that this host has no address of its own for.
        found = getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
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
