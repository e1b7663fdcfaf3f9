"""Taking over what dead owners left behind, and ending each such attempt like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tirelessd.core.decision import RetryAfter
from tirelessd.core.errors import AttemptError
from tirelessd.core.events import Emit, LeaseReclaimed
from tirelessd.core.item import Claim
from tirelessd.core.outcome import Reason
from tirelessd.core.policy import StoredRetrying
from tirelessd.engine.health import StoreWatch
from tirelessd.engine.pool import Pool
from tirelessd.engine.settler import Settler
from tirelessd.store.base import Store

BATCH_ITEMS: Final = 500
LEASE_SECONDS: Final = 30.0
WHAT_HAPPENED: Final = "the lease expired: its process died or lost the store"


class Reclaim:
    """Turns expired leases into failed attempts, decided by the policy of their queue."""

    def __init__(
        self,
        store: Store,
        settler: Settler,
        pools: Mapping[str, Pool],
        retrying_for: Callable[[str], StoredRetrying],
        watch: StoreWatch,
        emit: Emit,
    ) -> None:
        self._store = store
        self._settler = settler
        self._pools = pools
        self._retrying_for = retrying_for
        self._watch = watch
        self._emit = emit

    async def run(self) -> None:
        """Take over every expired lease there is."""
        while self._watch.is_up:
            claims = await self._store.reclaim(BATCH_ITEMS, LEASE_SECONDS)
            for claim in claims:
                await self._end_lost(claim)
            if len(claims) < BATCH_ITEMS:
                return

    async def _end_lost(self, claim: Claim) -> None:
        queue = claim.item.queue
        self._emit(LeaseReclaimed(queue, claim.item.id, claim.attempt))
        # From here on it is an attempt like any other that failed: decide, settle, tell.
        error = AttemptError(Reason.LEASE_LOST, WHAT_HAPPENED)
        decision = self._retrying_for(queue).decide(error, claim)
        settled = await self._settler.settle(
            claim, decision, duration_seconds=0.0, lease_seconds=LEASE_SECONDS
        )
        if settled.is_held and isinstance(decision, RetryAfter) and queue in self._pools:
            self._pools[queue].expect(decision.seconds)
