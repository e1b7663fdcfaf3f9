"""The memory that the bodies of all requests at work may take together."""

from __future__ import annotations

from aiohttp import web

from tirelessd.api.refusals import Overloaded


class BodyBudget:
    """Counts the bytes of bodies from their arrival to the end of their request's handler."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        # By identity: a request lives until its handler has ended, and hashing one takes longer.
        self._held_by: dict[int, int] = {}

    @property
    def held_bytes(self) -> int:
        """How much is held now."""
        return self._held_bytes

    def charge(self, request: web.Request, size_bytes: int) -> None:
        """Count what arrived of a body; raises `Overloaded` when there is no room for it."""
        if self._held_bytes + size_bytes > self._limit_bytes:
            raise Overloaded
        self._held_bytes += size_bytes
        self._held_by[id(request)] = self._held_by.get(id(request), 0) + size_bytes

    def release(self, request: web.Request) -> None:
        """Forget a request's body; called once, at the end of its handler."""
        self._held_bytes -= self._held_by.pop(id(request), 0)
