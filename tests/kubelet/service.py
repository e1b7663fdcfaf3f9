"""A Service: callers ask for a name, and each new connection goes to one of the endpoints.

As kube-proxy does it: an address is picked when a connection is made, a kept connection stays where
it is, and nobody stands between, so that what a caller sees is what the daemon's kernel does.
"""

from __future__ import annotations

import asyncio
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

Endpoint = tuple[str, int]

NAME = "tirelessd.shop.svc"
# Where nobody listens: with no endpoint left, kube-proxy has connections refused.
NOWHERE = ("127.0.0.1", 9)


class Service(AbstractResolver):
    """Hands out endpoints in turn; news of them takes `propagation_seconds` to arrive."""

    def __init__(self, propagation_seconds: float) -> None:
        self.propagation_seconds = propagation_seconds
        self._endpoints: list[Endpoint] = []
        self._turn = 0
        self.url = f"http://{NAME}"

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where connections go now."""
        return [*self._endpoints]

    def admit(self, endpoint: Endpoint) -> None:
        """Send connections there too, as soon as everybody has heard of it."""
        asyncio.get_running_loop().call_later(self.propagation_seconds, self._add, endpoint)

    def withdraw(self, endpoint: Endpoint) -> None:
        """Send no more connections there, as soon as everybody has heard of it."""
        asyncio.get_running_loop().call_later(self.propagation_seconds, self._drop, endpoint)

    def _add(self, endpoint: Endpoint) -> None:
        if endpoint not in self._endpoints:
            self._endpoints.append(endpoint)

    def _drop(self, endpoint: Endpoint) -> None:
        if endpoint in self._endpoints:
            self._endpoints.remove(endpoint)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The endpoint whose turn it is, for whoever connects now."""
        self._turn += 1
        known = self._endpoints or [NOWHERE]
        address, port = known[self._turn % len(known)]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""
