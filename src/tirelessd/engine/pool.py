"""The pool of one queue: slots, the async queue in front of them, the loop that claims for them.

No item is leased without a slot set aside for it, so the `asyncio.Queue` holds at most as many
attempts as there are slots and nobody ever waits in it. Three ways lead there: a hand-off from
intake, the refill that a settlement brings along, and the claim loop for all the rest.
"""

from __future__ import annotations

import asyncio
import random

import msgspec

from tirelessd.core.clock import Clock
from tirelessd.core.decision import Decision, GiveUpBecause, RetryAfter
from tirelessd.core.errors import StoreError
from tirelessd.core.events import ClaimFinished, Emit, ItemClaimed, UnexpectedError
from tirelessd.core.item import Claim
from tirelessd.core.outcome import DeadReason, Failure, Reason, text_of_error
from tirelessd.core.queue import QueueConfig
from tirelessd.engine.attempt import Attempt, AttemptRunner, Stop
from tirelessd.engine.health import StoreWatch
from tirelessd.engine.leases import LeaseKeeper
from tirelessd.engine.outlook import Outlook
from tirelessd.engine.pace import Pace
from tirelessd.engine.settler import Settler
from tirelessd.engine.supervisor import Supervisor
from tirelessd.store.base import Claimed, Store


class PoolReading(msgspec.Struct, frozen=True):
    """A pool at one moment; instants are host epoch seconds, 0 for never."""

    slots: int
    busy: int
    stuck: int
    is_paused: bool
    unfinished_seconds: float
    longest_running_seconds: float
    mean_attempt_seconds: float
    last_claim_at: float
    last_progress_at: float


class Pool:
    """The slots of one queue. Everything here runs in the event loop's thread."""

    def __init__(
        self,
        config: QueueConfig,
        store: Store,
        runner: AttemptRunner,
        settler: Settler,
        watch: StoreWatch,
        emit: Emit,
        clock: Clock,
        source: random.Random,
    ) -> None:
        self.config = config
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._runner = runner
        self._settler = settler
        self._watch = watch
        self._emit = emit
        self._clock = clock
        self._free = config.slots
        self._queue: asyncio.Queue[Attempt] = asyncio.Queue(config.slots)
        self._attempts: dict[int, Attempt] = {}
        self._keeper = LeaseKeeper(config.lease_seconds, self._attempts, store, watch, emit, source)
        self._pace = Pace(config.attempt_timeout_seconds)
        self._left_behind: set[Attempt] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._recovered = 0
        self._outlook = Outlook(store)
        self._wake = asyncio.Event()
        self._is_paused = False
        self._is_closed = False
        self._last_claim_at = 0.0
        self._last_progress_at = 0.0

    def start(self, supervisor: Supervisor) -> None:
        """Start the slots, the claim loop and the renewal of leases."""
        name = self.config.name
        for number in range(self.config.slots):
            supervisor.start_loop(f"slot {name} {number}", self._slot_loop)
        supervisor.start_loop(f"claim {name}", self._claim_loop)
        supervisor.start_loop(f"renew {name}", self._keeper.renew_loop)

    # --- a slot's life -------------------------------------------------------

    async def _slot_loop(self) -> None:
        while True:
            attempt: Attempt | None = await self._queue.get()
            # The slot was set aside before the attempt was put here; it is freed only when no
            # refill follows, so that `_free` never counts a slot that has work.
            try:
                while attempt is not None:
                    attempt = await self._attempt(attempt)
            finally:
                self._free_slot()

    async def _attempt(self, attempt: Attempt) -> Attempt | None:
        """Run, settle, and go on with the item that the settlement brought along, if any."""
        refill: Claim | None = None
        try:
            refill = await self._end(attempt, await self._runner.decide(attempt))
        except Exception as error:  # noqa: BLE001  (a defect must not cost the item)
            await self._end_unforeseen(attempt, error)
        finally:
            # From here on nobody renews the lease: its settlement is answered, or it was lost.
            self._forget(attempt)
        await self._wait_ended(attempt)
        return self._admit(refill) if refill is not None else None

    async def _end(self, attempt: Attempt, verdict: Decision | Stop) -> Claim | None:
        """Write what an attempt came to; the refill that came along."""
        attempt.is_ending = True
        duration_seconds = attempt.running_seconds(self._clock.monotonic())
        if isinstance(verdict, Stop):
            await self._end_stopped(attempt, verdict, duration_seconds)
            return None
        settled = await self._settler.settle(
            attempt.claim,
            verdict,
            attempt.trace,
            duration_seconds=duration_seconds,
            lease_seconds=self.config.lease_seconds,
            refill=self._wants_refill(attempt),
        )
        attempt.result = "finished"
        self._last_progress_at = self._clock.wall()
        self._pace.see(duration_seconds)
        if settled.is_held and isinstance(verdict, RetryAfter):
            self.expect(verdict.seconds, is_recovered=attempt.claim.lost_leases > 0)
        return settled.refill

    async def _end_stopped(self, attempt: Attempt, why: Stop, duration_seconds: float) -> None:
        """An item that is handed back is due as before; a lost lease leaves nothing to write."""
        claim, trace = attempt.claim, attempt.trace
        is_started = attempt.started_at is not None
        if why is Stop.LEASE_LOST or not await self._settler.release(
            claim, trace, duration_seconds, is_started=is_started
        ):
            attempt.result = "finished"
            trace.ended(None, None)
            return
        attempt.result = "released"
        self.announce(0.0, is_recovered=claim.lost_leases > 0)

    async def _end_unforeseen(self, attempt: Attempt, error: Exception) -> None:
        """Something raised that no rule foresees: the item is kept, dead, where people find it.

        A lease of a live process that nobody knows any more is only found by the sweep.
        """
        self._emit(UnexpectedError(f"slot of queue {self.config.name}", error))
        detail = f"a defect of the daemon: {text_of_error(error)}"
        failure = Failure(Reason.HANDLER, detail, is_retriable=False)
        try:
            await self._end(attempt, GiveUpBecause(DeadReason.NOT_RETRIABLE, failure))
        except Exception as another:  # noqa: BLE001  (told; the sweep takes the lease back)
            self._emit(UnexpectedError(f"slot of queue {self.config.name}", another))

    async def _wait_ended(self, attempt: Attempt) -> None:
        """A settled attempt whose handler has not ended keeps its slot."""
        if attempt.left_behind is None:
            return
        self._left_behind.add(attempt)
        try:
            await self._runner.wait_ended(attempt)
        finally:
            self._left_behind.discard(attempt)

    def _wants_refill(self, attempt: Attempt) -> bool:
        """Whether the freed slot may take the next item along.

        Not while its handler is left behind, for then it is not free yet; and not while an item
        that lost a lease is due, for only a claim brings those.
        """
        is_free = attempt.left_behind is None
        is_due = self._outlook.is_something_due() and not self._is_lost_due()
        return self.is_open and is_free and is_due

    # --- leases on their way in ----------------------------------------------

    def reserve(self) -> bool:
        """Set a slot aside for a hand-off; not while an older item is due, which goes first."""
        if not self.is_open or self._free == 0 or self._outlook.is_something_due():
            return False
        self._take_slots(1)
        return True

    def give_back(self) -> None:
        """A reserved slot was not needed."""
        self._free_slot()

    def deliver(self, claim: Claim, *, is_handed_off: bool) -> None:
        """Give a claim to the slot that was set aside for it."""
        self._queue.put_nowait(self._admit(claim, is_handed_off=is_handed_off))

    def _admit(self, claim: Claim, *, is_handed_off: bool = False) -> Attempt:
        attempt = self._runner.admit(claim)
        self._attempts[claim.lease.token] = attempt
        self._recovered += claim.lost_leases > 0
        # A claim or a hand-off may have been on its way while the pool was paused or closed: the
        # slot that gets it will release it instead of running it.
        if not self.is_open:
            attempt.stop(Stop.RELEASE)
        item, waited, trace = claim.item, claim.waited_seconds, attempt.trace.context
        self._emit(ItemClaimed(item.queue, item.id, claim.attempt, waited, is_handed_off, trace))
        return attempt

    def _forget(self, attempt: Attempt) -> None:
        """The attempt is settled: its lease is gone, its slot may not be free yet."""
        del self._attempts[attempt.claim.lease.token]
        if attempt.claim.lost_leases:
            # The next one that lost a lease may start, if there is one.
            self._recovered -= 1
            self.expect(0.0, is_recovered=True)

    def _take_slots(self, count: int) -> None:
        self._free -= count
        self._idle.clear()

    def _free_slot(self, count: int = 1) -> None:
        was_full = self._free == 0
        self._free += count
        # Claims under way, hand-offs, attempts and left-behind handlers all hold their slots, so
        # all slots free means that nothing is leased here.
        if self._free == self.config.slots:
            self._idle.set()
        # Only a pool without any free slot has its claim loop waiting for one.
        if was_full:
            self._wake.set()

    async def wait_idle(self) -> None:
        """Return once nothing is leased here and every handler has ended."""
        await self._idle.wait()

    # --- claiming ------------------------------------------------------------

    def announce(self, due_in_seconds: float, *, is_recovered: bool = False) -> None:
        """Somebody stored an item here that falls due then: it is for us, or for the others.

        Whoever shares the store is told of what is due and finds no slot in this process.
        """
        self.expect(due_in_seconds, is_recovered=is_recovered)
        if due_in_seconds <= 0.0 and not self._has_slot():
            self._store.announce(self.config.name)

    def expect(self, due_in_seconds: float, *, is_recovered: bool = False) -> None:
        """An item falls due then: look for it in time.

        `is_recovered` tells that it lost a lease before, so that only a claim can bring it.
        """
        if self._outlook.expect(due_in_seconds, is_recovered=is_recovered):
            self._wake.set()

    def _has_slot(self) -> bool:
        """Whether an item that is due will be claimed here at once."""
        return self.is_open and len(self._attempts) + len(self._left_behind) < self.config.slots

    def _is_lost_due(self) -> bool:
        """Whether an item that lost a lease may be due, and may start: one at a time."""
        return not self._recovered and self._outlook.is_lost_due()

    async def _claim_loop(self) -> None:
        while not self._is_closed:
            await self._watch.wait_up()
            seconds = self._seconds_until_claim()
            if seconds == 0:
                await self._claim()
                continue
            self._wake.clear()
            # No other task runs between the look above and the wait: no wake-up can slip through.
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                # Nothing was announced: look all the same, others may share the store.
                self._outlook.look_now()

    def _seconds_until_claim(self) -> float | None:
        """0 for now; None when only a wake-up can change anything."""
        if not self.is_open or self._free == 0:
            return None
        return self._outlook.seconds_until_look()

    async def _claim(self) -> None:
        """Ask the store for as many items as there are free slots."""
        limit = self._free
        self._take_slots(limit)
        self._outlook.begin()
        claimed: Claimed | None = None
        try:
            claimed = await self._store.claim(
                self.config.name,
                limit,
                self.config.lease_seconds,
                recovered=int(not self._recovered),
            )
        except StoreError as error:
            self._watch.failed(error)
            self._emit(ClaimFinished(self.config.name, None))
        finally:
            if claimed is None:
                self._outlook.failed()
                self._free_slot(limit)
        if claimed is not None:
            self._take(claimed, limit)

    def _take(self, claimed: Claimed, limit: int) -> None:
        """Give what was claimed to the slots that wait for it, and remember when to look again."""
        found = len(claimed.claims)
        self._last_claim_at = self._clock.wall()
        self._emit(ClaimFinished(self.config.name, found))
        for claim in claimed.claims:
            self.deliver(claim, is_handed_off=False)
        self._outlook.looked(claimed, limit)
        if found < limit:
            self._free_slot(limit - found)

    # --- pausing and draining ------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether items may be claimed or handed off."""
        return not (self._is_paused or self._is_closed) and self._watch.is_up

    @property
    def is_paused(self) -> bool:
        """Whether an operator has paused the queue."""
        return self._is_paused

    def set_paused(self, *, is_paused: bool) -> None:
        """Stop or allow claims; what no slot has started yet is released, what runs goes on."""
        if is_paused == self._is_paused:
            return
        self._is_paused = is_paused
        if is_paused:
            self.stop_unstarted()
        else:
            self.expect(0.0)
            self._wake.set()

    def close(self) -> None:
        """Claim no more, for good: the drain has begun."""
        self._is_closed = True
        self._wake.set()
        self.stop_unstarted()

    def stop_unstarted(self) -> None:
        """Have every attempt that has not begun released by its slot."""
        for attempt in self._attempts.values():
            if attempt.started_at is None:
                attempt.stop(Stop.RELEASE)

    def attempts(self) -> list[Attempt]:
        """The attempts between delivery and the answer to their settlement."""
        return list(self._attempts.values())

    def left_behind(self) -> list[Attempt]:
        """The attempts that are settled, but whose handler has not ended."""
        return list(self._left_behind)

    def reading(self) -> PoolReading:
        """The pool as it stands."""
        now = self._clock.monotonic()
        # A handler that outlasts its settlement runs on: of all, it must not drop out of sight.
        at_work = (*self._attempts.values(), *self._left_behind)
        running = [attempt.running_seconds(now) for attempt in at_work]
        return PoolReading(
            slots=self.config.slots,
            # Not what is set aside for a claim under way: that would show an idle pool as busy.
            busy=len(self._attempts) + len(self._left_behind),
            stuck=sum(attempt.is_stuck for attempt in self._left_behind),
            is_paused=self._is_paused,
            unfinished_seconds=sum(running),
            longest_running_seconds=max(running, default=0.0),
            mean_attempt_seconds=self._pace.mean_seconds,
            last_claim_at=self._last_claim_at,
            last_progress_at=self._last_progress_at,
        )
