"""Taking over what dead owners left behind, and ending each such attempt like any other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from tirelessd.core.decision import Decision, GiveUpBecause, RetryAfter
from tirelessd.core.errors import AttemptError
from tirelessd.core.events import Emit, LeaseReclaimed, UnexpectedError
from tirelessd.core.item import Claim, Lease
from tirelessd.core.outcome import DeadReason, Failure, Reason
from tirelessd.core.policy import StoredRetrying
from tirelessd.engine.health import StoreWatch
from tirelessd.engine.pool import Pool
from tirelessd.engine.settler import Settler
from tirelessd.store.base import Store

# What one commit of a round, of whatever kind, takes on: callers wait behind it.
BATCH_ITEMS: Final = 500
# Where no queue says how long its leases are.
LEASE_SECONDS: Final = 30.0
# Who could not renew, for the store was locked, full or away, does so well within these seconds
# once it can; of a short lease no more than half is spent on waiting for that.
SEEN_SECONDS: Final = 3.0
EXPIRED: Final = "the lease expired: its process died or lost the store"
FORGOTTEN: Final = "a defect of the daemon: its slot lost sight of it"


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
        lease_seconds: float,
    ) -> None:
        self._store = store
        self._settler = settler
        self._pools = pools
        self._retrying_for = retrying_for
        self._watch = watch
        self._emit = emit
        self._lease_seconds = lease_seconds
        self._seen_seconds = min(SEEN_SECONDS, lease_seconds / 2)
        self._tokens: set[int] = set()

    @property
    def tokens(self) -> Collection[int]:
        """The leases whose settlement is being written here."""
        return self._tokens

    async def run(self) -> None:
        """Take over every expired lease there is."""
        while self._watch.is_up:
            claims = await self._take_over()
            if claims:
                await self._end_lost(claims, EXPIRED)
            if len(claims) < BATCH_ITEMS:
                return

    async def take_back(self, forgotten: Sequence[Lease]) -> None:
        """End the attempts behind leases of this process that nobody in it knows any more."""
        # One call at a time comes with them, so what it finds besides is settled here as well.
        claims = await self._take_over(forgotten)
        if claims:
            await self._end_lost(claims, FORGOTTEN)

    async def _take_over(self, forgotten: Sequence[Lease] = ()) -> Sequence[Claim]:
        return await self._store.reclaim(
            BATCH_ITEMS, self._lease_seconds, forgotten, seen_seconds=self._seen_seconds
        )

    async def _end_lost(self, claims: Sequence[Claim], why: str) -> None:
        """End these attempts in one commit; from now on the leases are ours to settle."""
        tokens = {claim.lease.token for claim in claims}
        self._tokens |= tokens
        try:
            await self._settle_lost(claims, why)
        finally:
            self._tokens -= tokens

    async def _settle_lost(self, claims: Sequence[Claim], why: str) -> None:
        ended = [(claim, self._decide(claim, why)) for claim in claims]
        answers = await self._settler.settle_lost(ended, self._lease_seconds)
        for (claim, decision), settled in zip(ended, answers, strict=True):
            pool = self._pools.get(claim.item.queue)
            if pool is not None and settled.is_held and isinstance(decision, RetryAfter):
                pool.expect(decision.seconds, is_recovered=True)

    def _decide(self, claim: Claim, why: str) -> Decision:
        item = claim.item
        self._emit(LeaseReclaimed(item.queue, item.id, claim.attempt, claim.trace))
        # From here on it is an attempt like any other that failed: decide, settle, tell.
        error = AttemptError(Reason.LEASE_LOST, why)
        try:
            return self._retrying_for(claim.item.queue).decide(error, claim)
        except Exception as defect:  # noqa: BLE001  (any strategy of a user; the others go on)
            self._emit(UnexpectedError(f"retry policy of queue {claim.item.queue}", defect))
            failure = Failure(Reason.LEASE_LOST, why)
            return GiveUpBecause(DeadReason.LEASE_LOST, failure)
