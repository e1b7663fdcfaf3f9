"""The sweep: leases of this process that nobody in it knows any more are taken back.

A lease of a live process does not expire in the embedded store, so one that a defect has lost sight
of would stay for as long as the process lives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from tirelessd.core.errors import StoreError
from tirelessd.engine.health import StoreWatch
from tirelessd.engine.pool import Pool
from tirelessd.engine.reclaim import Reclaim
from tirelessd.engine.supervisor import Supervisor
from tirelessd.store.base import Store

SWEEP_SECONDS: Final = 5.0
NOTHING: Final[frozenset[int]] = frozenset()


class Sweep:
    """Compares the store's leases with those that slots, hand-offs and reclaims know of."""

    def __init__(
        self, store: Store, pools: Mapping[str, Pool], reclaim: Reclaim, watch: StoreWatch
    ) -> None:
        self._store = store
        self._pools = pools
        self._reclaim = reclaim
        self._watch = watch
        self._suspects: Collection[int] = NOTHING

    def start(self, supervisor: Supervisor) -> None:
        """Start the rounds."""
        supervisor.start_rounds("sweep", SWEEP_SECONDS, self.run)

    async def run(self) -> None:
        """Take back what this round and the one before it found in nobody's hands."""
        suspects, self._suspects = self._suspects, NOTHING
        try:
            leases = await self._store.leases()
            # A lease that was just granted is in the store before its slot hears of it. Whatever
            # was committed before the look above is answered before this commit is.
            await self._store.probe()
        except StoreError as error:
            self._watch.failed(error)
            return
        known = self._known()
        lost = [lease for lease in leases if lease.token not in known]
        self._suspects = frozenset(lease.token for lease in lost)
        # Twice, for an interleaving that nobody foresaw must not cost a running attempt its lease.
        if forgotten := [lease for lease in lost if lease.token in suspects]:
            await self._reclaim.take_back(forgotten)

    def _known(self) -> Collection[int]:
        """The tokens of everything that will be settled or released by somebody."""
        known = set(self._reclaim.tokens)
        for pool in self._pools.values():
            known.update(attempt.claim.lease.token for attempt in pool.attempts())
        return known
