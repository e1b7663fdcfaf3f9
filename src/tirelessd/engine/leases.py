"""Keeping leases: every attempt's is renewed until its settlement is answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Final

from tirelessd.core.errors import StoreError
from tirelessd.core.events import Emit, LeaseLost
from tirelessd.engine.attempt import Attempt, Stop
from tirelessd.engine.health import StoreWatch
from tirelessd.store.base import Store

RENEWALS_PER_LEASE: Final = 3
RENEWAL_JITTER: Final = 0.1
# Soon after a renewal failed comes the next: others may see the leases expired by now.
RETRY_SECONDS: Final = 0.5


class LeaseKeeper:
    """Renews the leases of a pool's attempts; `attempts` is the pool's own, by token."""

    def __init__(
        self,
        lease_seconds: float,
        attempts: Mapping[int, Attempt],
        store: Store,
        watch: StoreWatch,
        emit: Emit,
        source: random.Random,
    ) -> None:
        self._lease_seconds = lease_seconds
        self._attempts = attempts
        self._store = store
        self._watch = watch
        self._emit = emit
        self._source = source

    async def renew_loop(self) -> None:
        """Renew, three times a lease; a refused renewal ends its attempt."""
        usual_seconds = self._lease_seconds / RENEWALS_PER_LEASE
        seconds = usual_seconds
        while True:
            # Jittered, so that many processes on one store do not all come at once.
            await asyncio.sleep(seconds * self._source.uniform(1.0 - RENEWAL_JITTER, 1.0))
            is_answered = await self._renew(list(self._attempts.values()))
            seconds = usual_seconds if is_answered else min(usual_seconds, RETRY_SECONDS)

    async def _renew(self, attempts: Sequence[Attempt]) -> bool:
        """Whether the store has answered."""
        if not attempts:
            return True
        leases = [attempt.claim.lease for attempt in attempts]
        try:
            held = await self._store.renew(leases, self._lease_seconds)
        except StoreError as error:
            # No refusal: the attempts go on, and the next round comes before the leases end.
            self._watch.failed(error)
            return False
        for attempt, is_held in zip(attempts, held, strict=True):
            # One that is being settled may have been written before the renewal was looked at, in
            # the same commit: its own answer tells whether the lease held.
            if not is_held and not attempt.is_ending:
                self._lose(attempt)
        return True

    def _lose(self, attempt: Attempt) -> None:
        item = attempt.claim.item
        trace = attempt.trace.context
        self._emit(LeaseLost(item.queue, item.id, attempt.claim.attempt, trace))
        attempt.stop(Stop.LEASE_LOST)
