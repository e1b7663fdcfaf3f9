"""An observer that keeps every event and lets a test wait for the one it means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from tirelessd.core.events import Event

E = TypeVar("E", bound=Event)

PATIENCE_SECONDS = 10.0


class Recorder:
    """Call it with events; ask it for those of a kind."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Keep an event and wake whoever waits for it."""
        self.events.append(event)
        self._changed.set()

    def of(self, kind: type[E], where: Callable[[E], bool] = lambda _: True) -> list[E]:
        """The events of a kind so far, in order."""
        return [event for event in self.events if isinstance(event, kind) and where(event)]

    async def wait_for(
        self, kind: type[E], count: int = 1, where: Callable[[E], bool] = lambda _: True
    ) -> list[E]:
        """Return once that many events of a kind have happened; fails after `PATIENCE_SECONDS`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := self.of(kind, where)) < count:
                self._changed.clear()
                await self._changed.wait()
        return found
