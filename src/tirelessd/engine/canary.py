"""The canary: an item of the daemon's own that goes the whole way, so that a silent stall is seen.

It is accepted, claimed, attempted and settled by the parts that every item goes through, on a queue
of its own, whose events nobody else counts. One at a time is under way, and what ended is deleted
after a while.

Where processes share a store, another one may take it. Then it has come through when the store
says so and this process's own claims went on meanwhile: a claim loop that hangs must be seen here,
however helpful the neighbours are.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from tirelessd.core.clock import Clock
from tirelessd.core.errors import Rejected, StoreError
from tirelessd.core.events import (
    CanaryFailed,
    CanaryStage,
    CanarySucceeded,
    ClaimFinished,
    Emit,
    Event,
    ItemClaimed,
    ItemSucceeded,
    UnexpectedError,
)
from tirelessd.core.item import State
from tirelessd.core.queue import CANARY, QueueConfig, Retention, RetryPolicy
from tirelessd.engine.health import StoreWatch
from tirelessd.engine.intake import Intake, Options, Submission
from tirelessd.engine.supervisor import Supervisor
from tirelessd.store.base import Store

# So long one that ended can be looked up by the process that sent it.
KEPT_SECONDS: Final = 60.0
# One slot and one attempt: what a crash leaves behind is dead at once.
QUEUE: Final = QueueConfig(
    CANARY,
    handler_type="canary",
    slots=1,
    capacity_items=0,
    retry=RetryPolicy(max_attempts=1, max_lost_leases=1, deadline_seconds=60.0),
    retention=Retention(KEPT_SECONDS, KEPT_SECONDS, 0.0),
)
# Due a moment later, and so claimed from the store: a hand-off would pass the claims by.
SUBMISSION: Final = Submission(b"canary", "text/plain", options=Options(delay_seconds=0.001))
PURGE_ITEMS: Final = 10
# One that this process does not hear of for so long may be with another one.
LOOK_SECONDS: Final = 1.0


class Canary:
    """Sends one item after the other; `see` is the observer of the parts that only it uses."""

    def __init__(
        self, store: Store, watch: StoreWatch, clock: Clock, emit: Emit, interval_seconds: float
    ) -> None:
        self._store = store
        self._watch = watch
        self._clock = clock
        self._emit = emit
        self._interval_seconds = interval_seconds
        self._intake: Intake | None = None
        self._is_over = False
        self._item_id = ""
        self._stage: CanaryStage = "intake"
        self._has_claimed = False
        self._ended = asyncio.Event()

    def start(self, intake: Intake, supervisor: Supervisor) -> None:
        """Send the first one at once, and one every interval from then on."""
        self._intake = intake
        supervisor.start_rounds("canary", self._interval_seconds, self.run)

    def stop(self) -> None:
        """The drain has begun: send no more, and blame nobody for the one under way."""
        self._is_over = True
        if self._intake is not None:
            self._intake.close()

    def see(self, event: Event) -> None:
        """Follow the item; nobody else learns of it, except of defects."""
        if isinstance(event, UnexpectedError):
            self._emit(event)
        elif isinstance(event, ClaimFinished):
            self._has_claimed |= event.items is not None
        elif isinstance(event, ItemClaimed) and event.item_id == self._item_id:
            self._stage = "deliver"
        elif isinstance(event, ItemSucceeded) and event.item_id == self._item_id:
            self._ended.set()

    async def run(self) -> None:
        """Send one and wait for its end, but no longer than until the next one is due."""
        if self._is_over or self._intake is None:
            return
        self._stage = "intake"
        try:
            async with asyncio.timeout(self._interval_seconds):
                await self._make_way()
                round_trip_seconds = await self._send(self._intake)
        except (TimeoutError, StoreError, Rejected):
            if not self._is_over:
                self._emit(CanaryFailed(self._stage))
        else:
            self._item_id = ""
            self._emit(CanarySucceeded(round_trip_seconds))
        await self._clean_up()

    async def _make_way(self) -> None:
        """Take back what an earlier round left; raises `TimeoutError` while it has to wait."""
        if not self._watch.is_up:
            raise TimeoutError
        if self._item_id and (await self._store.cancel(self._item_id)).state is State.LEASED:
            self._stage = "deliver"
            raise TimeoutError
        self._item_id = ""

    async def _send(self, intake: Intake) -> float:
        """Hand one in; the seconds that it took to its settlement, whoever settled it."""
        began_at = self._clock.monotonic()
        self._ended.clear()
        self._has_claimed = False
        accepted = await intake.accept(CANARY, SUBMISSION)
        # Nobody has claimed it yet: this task has gone on without a pause.
        self._item_id, self._stage = accepted.id, "claim"
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._ended.wait()
                    return self._clock.monotonic() - began_at
            if (elsewhere := await self._ended_elsewhere()) is not None:
                return elsewhere

    async def _ended_elsewhere(self) -> float | None:
        """The seconds that it took where another process took it, while this one claimed too.

        None as long as nothing of the kind is known.
        """
        item = await self._store.get(self._item_id)
        if item is None or not self._has_claimed:
            return None
        if item.state is State.LEASED:
            self._stage = "deliver"
        if item.state is not State.SUCCEEDED or item.finished_at is None:
            return None
        return item.finished_at - item.accepted_at

    async def _clean_up(self) -> None:
        """Delete what has ended."""
        with suppress(StoreError, TimeoutError):  # a store that fails is told of by its watch
            async with asyncio.timeout(self._interval_seconds):
                await self._store.purge((QUEUE,), PURGE_ITEMS)
