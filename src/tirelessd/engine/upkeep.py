"""Upkeep: the rounds that keep promises nobody is waiting for.

Expired leases are taken over, items past their deadline end dead, old rows are purged, snapshots
are taken, pauses are read, and the store is probed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from tirelessd.core.errors import StoreError
from tirelessd.core.events import (
    BackgroundRoundsStarted,
    BackgroundTaskSucceeded,
    DeadItemsPurged,
    Emit,
    ItemDied,
    UnconfiguredItemsFound,
)
from tirelessd.core.item import ShownState
from tirelessd.core.outcome import DeadReason
from tirelessd.core.queue import QueueConfig
from tirelessd.engine.capacity import Capacity
from tirelessd.engine.health import StoreWatch
from tirelessd.engine.pauses import Pauses
from tirelessd.engine.reclaim import BATCH_ITEMS, Reclaim
from tirelessd.engine.snapshots import Snapshots
from tirelessd.engine.supervisor import Supervisor
from tirelessd.store.base import Snapshot, Store

RECLAIM_SECONDS: Final = 1.0
EXPIRE_SECONDS: Final = 1.0
PURGE_SECONDS: Final = 10.0
SNAPSHOT_SECONDS: Final = 2.0
PAUSES_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 2.0
PROBE_DOWN_SECONDS: Final = 0.25
# As many as a line is read with; whoever has more finds the others when these are gone.
NAMES_TOLD: Final = 10


class Upkeep:
    """The background rounds over all queues."""

    def __init__(
        self,
        queues: Sequence[QueueConfig],
        store: Store,
        reclaim: Reclaim,
        watch: StoreWatch,
        pauses: Pauses,
        snapshots: Snapshots,
        capacity: Capacity,
        emit: Emit,
    ) -> None:
        self._queues = queues
        self._store = store
        self._reclaim = reclaim
        self._watch = watch
        self._pauses = pauses
        self._snapshots = snapshots
        self._capacity = capacity
        self._emit = emit
        self._told: frozenset[str] = frozenset()

    def start(self, supervisor: Supervisor) -> None:
        """Start every round."""
        self._emit(BackgroundRoundsStarted("probe", PROBE_SECONDS))
        supervisor.start_loop("probe", self._probe_loop)
        supervisor.start_rounds("reclaim", RECLAIM_SECONDS, self._reclaim.run)
        supervisor.start_rounds("expire", EXPIRE_SECONDS, self.expire)
        supervisor.start_rounds("purge", PURGE_SECONDS, self.purge)
        supervisor.start_rounds("snapshot", SNAPSHOT_SECONDS, self.snapshot)
        supervisor.start_rounds("pauses", PAUSES_SECONDS, self.pauses)

    async def _probe_loop(self) -> None:
        while True:
            # Also while it is down: the probe is what finds that the store has healed.
            await self.probe()
            self._emit(BackgroundTaskSucceeded("probe"))
            await asyncio.sleep(PROBE_SECONDS if self._watch.is_up else PROBE_DOWN_SECONDS)

    async def probe(self) -> None:
        """Try a write, so that a broken store, and a healed one, is known without a caller."""
        try:
            await self._store.probe()
        except StoreError as error:
            self._watch.failed(error)
        else:
            self._watch.worked()
            self._watch.invite()

    async def expire(self) -> None:
        """End queued items whose deadline has passed."""
        # A store that is down is left to the probe; this round comes again.
        while self._watch.is_up:
            expired = await self._store.expire(BATCH_ITEMS)
            for item in expired:
                self._capacity.end(item.queue)
                self._emit(
                    ItemDied(
                        item.queue,
                        item.item_id,
                        item.attempts,
                        item.age_seconds,
                        DeadReason.EXPIRED,
                        item.failure,
                    )
                )
            if len(expired) < BATCH_ITEMS:
                return

    async def purge(self) -> None:
        """Delete what outlived its retention, a bounded commit at a time."""
        while self._watch.is_up:
            purged = await self._store.purge(self._queues, BATCH_ITEMS)
            for queue, count in purged.items():
                if queue:
                    self._emit(DeadItemsPurged(queue, count, "ttl"))
            # A full batch means that there is more; whoever waits for the writer gets a turn first.
            if sum(purged.values()) < BATCH_ITEMS:
                return

    async def snapshot(self) -> None:
        """Renew the cached counts, and the places that they tell."""
        taken = await self._snapshots.fresh()
        self._capacity.adopt(taken.snapshot.queues, taken.mark, is_shared=self._store.leases_expire)
        self.tell_unconfigured(taken.snapshot)

    def tell_unconfigured(self, snapshot: Snapshot) -> None:
        """Warn of items whose queues are not configured here, once for as long as there are any.

        Not at the start alone: another process may accept for a queue that this one never knew.
        """
        names, told = snapshot.unconfigured_names, self._told
        self._told = frozenset(names)
        if self._told - told:
            left = snapshot.unconfigured
            count = left.unfinished + left.counts.get(ShownState.DEAD, 0)
            self._emit(UnconfiguredItemsFound(count, names[:NAMES_TOLD]))

    async def pauses(self) -> None:
        """Obey pauses that were stored or ran out elsewhere."""
        await self._pauses.refresh()
