"""The memory that the bodies of all requests at work may take together."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from tirelessd.api.refusals import Overloaded

_HELD: Final = web.RequestKey("held_bytes", int)


class BodyBudget:
    """Counts the bytes of bodies from their arrival to the end of their request's handler."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """How much is held now."""
        return self._held_bytes

    def charge(self, request: web.Request, size_bytes: int) -> None:
        """Count what arrived of a body; raises `Overloaded` when there is no room for it."""
        if self._held_bytes + size_bytes > self._limit_bytes:
            raise Overloaded
        self._held_bytes += size_bytes
        request[_HELD] = request.get(_HELD, 0) + size_bytes

    def release(self, request: web.Request) -> None:
        """Forget a request's body; called once, at the end of its handler."""
        self._held_bytes -= request.get(_HELD, 0)
