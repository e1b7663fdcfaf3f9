"""The pools' side of a hand-off, for items of any queue."""

from __future__ import annotations

from collections.abc import Mapping

from tirelessd.core.item import Claim
from tirelessd.engine.pool import Pool


class HandingOff:
    """`store.base.HandOff` over all pools; the store calls it when a commit is formed."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    def reserve(self, queue: str) -> bool:
        """Set a slot of the queue aside."""
        return self._pools[queue].reserve()

    def lease_seconds(self, queue: str) -> float:
        """What the queue's leases last."""
        return self._pools[queue].config.lease_seconds

    def deliver(self, claim: Claim) -> None:
        """Start the item on the slot that was set aside."""
        # Never blocks: the slot was set aside, so there is room in the queue before it.
        self._pools[claim.item.queue].deliver(claim, is_handed_off=True)

    def give_back(self, queue: str) -> None:
        """Free the slot again."""
        self._pools[queue].give_back()
