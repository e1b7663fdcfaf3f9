"""The drain: stop claiming, finish or release, and account for every item that was leased."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from tirelessd.core.events import DrainFinished, DrainResult, Emit, ItemDrained
from tirelessd.engine.attempt import Attempt, Stop
from tirelessd.engine.pool import Pool

RELEASE_SECONDS: Final = 2.0


class Drain:
    """Brings the pools to rest."""

    def __init__(self, pools: Mapping[str, Pool], emit: Emit) -> None:
        self._pools = pools
        self._emit = emit
        self._leased: Sequence[Attempt] = ()

    def begin(self) -> None:
        """No claim and no hand-off from now on; what no slot has started is released."""
        self._leased = self._attempts()
        for pool in self._pools.values():
            pool.close()

    async def finish(self, drain_seconds: float) -> Mapping[DrainResult, int]:
        """Give running attempts their time, release the rest, and say what became of each.

        Returns within `drain_seconds` plus the bound for releasing.
        """
        started = asyncio.get_running_loop().time()
        await self._wait_idle(drain_seconds)
        # A settlement that is being written is not disturbed: stopping reaches handlers only.
        for attempt in self._attempts():
            attempt.stop(Stop.RELEASE)
        await self._wait_idle(RELEASE_SECONDS)
        counts = self._account()
        self._emit(DrainFinished(counts, asyncio.get_running_loop().time() - started))
        return counts

    def _attempts(self) -> Sequence[Attempt]:
        return [a for pool in self._pools.values() for a in (*pool.attempts(), *pool.left_behind())]

    async def _wait_idle(self, seconds: float) -> None:
        """Return when every attempt is settled and its handler has ended, or when time is up."""
        try:
            async with asyncio.timeout(seconds):
                for pool in self._pools.values():
                    await pool.wait_idle()
        except TimeoutError:
            return

    def _account(self) -> Mapping[DrainResult, int]:
        # What is still there could be neither settled nor released, or its handler goes on: its
        # item is safe in the store, but this process cannot answer for what the handler does.
        unsettled = set(self._attempts())
        counts: dict[DrainResult, int] = {"finished": 0, "released": 0, "abandoned": 0}
        for attempt in {*self._leased, *unsettled}:
            is_over = attempt.result is not None and attempt not in unsettled
            result: DrainResult = attempt.result if attempt.result and is_over else "abandoned"
            counts[result] += 1
            item, trace = attempt.claim.item, attempt.trace.context
            self._emit(ItemDrained(item.queue, item.id, result, trace))
        return counts
