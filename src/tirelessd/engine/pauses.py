"""The pauses in force: stored rows, read again and again so that every process obeys them."""

from __future__ import annotations

from collections.abc import Mapping

from tirelessd.engine.pool import Pool
from tirelessd.store.base import Pause, Store


class Pauses:
    """Brings stored pauses to the pools."""

    def __init__(self, store: Store, pools: Mapping[str, Pool]) -> None:
        self._store = store
        self._pools = pools
        self._known: Mapping[str, Pause] = {}

    async def refresh(self) -> None:
        """Read the pauses and have every pool obey."""
        # Read as a whole: a pause that ran out is simply not there any more.
        self._known = {pause.queue: pause for pause in await self._store.pauses()}
        for name, pool in self._pools.items():
            pool.set_paused(is_paused=name in self._known)

    def of(self, queue: str) -> Pause | None:
        """The queue's pause as last read."""
        return self._known.get(queue)
