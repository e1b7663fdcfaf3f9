"""One attempt: the handler under its time limit, judged by tenacity's policy.

The steps of `AttemptRunner.run` are the life of an attempt. Whoever wants it to end early (a drain,
a lost lease) calls `Attempt.stop`; the time limit is the one way in which a running handler is
interrupted, so that all interruptions share one path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from tirelessd.core.clock import Clock
from tirelessd.core.decision import Complete, Decision, GiveUpBecause
from tirelessd.core.errors import AttemptError
from tirelessd.core.events import Emit, HandlerStuck, UnexpectedError
from tirelessd.core.item import Claim, Context
from tirelessd.core.outcome import DeadReason, Failure, Reason, text_of_error
from tirelessd.core.policy import StoredRetrying
from tirelessd.core.queue import QueueConfig
from tirelessd.engine.handlers.base import Handler
from tirelessd.engine.supervisor import Supervisor

STUCK_AFTER_SECONDS: Final = 1.0

MakeLogger = Callable[[str, str, int], Any]


class Stop(StrEnum):
    """Why an attempt is to end without a decision."""

    DRAIN = "drain"
    LEASE_LOST = "lease_lost"


class Attempt:
    """A claim on its way through a slot: from delivery until its settlement is answered."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.started_at: float | None = None
        self.stopped: Stop | None = None
        self.is_stuck = False
        self.limit: asyncio.Timeout | None = None
        self.left_behind: asyncio.Task[Complete] | None = None

    def stop(self, why: Stop) -> None:
        """End the attempt now; a result that is already there still counts."""
        self.stopped = self.stopped or why
        if self.limit is not None and not self.limit.expired():
            # Cancels the handler from within, as the time limit would; the mark tells them apart.
            self.limit.reschedule(asyncio.get_running_loop().time())

    def is_stopped(self) -> bool:
        """Whether somebody wants the attempt to end without a decision."""
        return self.stopped is not None

    def running_seconds(self, now: float) -> float:
        """How long the handler has been at it, by the monotonic clock; 0 before it starts."""
        return now - self.started_at if self.started_at is not None else 0.0


class AttemptRunner:
    """Runs attempts of one queue."""

    def __init__(
        self,
        config: QueueConfig,
        handler: Handler,
        retrying: StoredRetrying,
        supervisor: Supervisor,
        emit: Emit,
        clock: Clock,
        make_logger: MakeLogger,
    ) -> None:
        self._config = config
        self._handler = handler
        self._retrying = retrying
        self._supervisor = supervisor
        self._emit = emit
        self._clock = clock
        self._make_logger = make_logger

    async def decide(self, attempt: Attempt) -> Decision | None:
        """Run the handler and judge the outcome; None when the attempt was stopped instead."""
        if attempt.is_stopped():
            return None
        decision = await self._judge(attempt)
        # What the handler did finish is worth keeping, even when it was about to be stopped.
        if attempt.is_stopped() and not isinstance(decision, Complete):
            return None
        return decision

    async def _judge(self, attempt: Attempt) -> Decision:
        attempt.started_at = self._clock.monotonic()
        try:
            return await self._retrying(self._run_limited, attempt.claim, attempt)
        except Exception as error:  # noqa: BLE001  (any strategy of a user)
            return self._decide_without_policy(error)

    def _decide_without_policy(self, error: Exception) -> Decision:
        """A retry strategy raised: a defect that must not cost the item, so it is kept, dead."""
        self._emit(UnexpectedError(f"retry policy of queue {self._config.name}", error))
        detail = f"the retry policy failed: {text_of_error(error)}"
        return GiveUpBecause(DeadReason.NOT_RETRIABLE, Failure(Reason.HANDLER, detail))

    async def _run_limited(self, claim: Claim, attempt: Attempt) -> Complete:
        """The handler's answer within the smaller of the attempt's timeout and the time left."""
        seconds = min(self._config.attempt_timeout_seconds, claim.remaining_seconds)
        limit = attempt.limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._run_handler(claim, attempt)
        except TimeoutError:
            # The handler may raise a TimeoutError of its own; that one is its failure.
            if not limit.expired():
                raise
        finally:
            attempt.limit = None
        raise AttemptError(Reason.TIMEOUT, f"no answer within {seconds:g} s")

    async def _run_handler(self, claim: Claim, attempt: Attempt) -> Complete:
        """Inside the slot's own task where the handler ends on cancellation, else beside it."""
        call = self._handler.attempt(claim.item, self._context(claim))
        if self._handler.ends_on_cancel:
            return await call
        task = self._supervisor.spawn(call, f"attempt {claim.item.id}")
        # Shielded: the slot stops waiting at the limit, whatever the handler makes of its
        # cancellation.
        try:
            return await asyncio.shield(task)
        finally:
            if not task.done():
                task.cancel()
                attempt.left_behind = task

    def _context(self, claim: Claim) -> Context:
        item = claim.item
        return Context(
            claim.attempt,
            self._config.retry.max_attempts,
            claim.remaining_seconds,
            self._make_logger(item.id, item.queue, claim.attempt),
            claim.traceparent,
            claim.tracestate,
        )

    async def wait_ended(self, attempt: Attempt) -> None:
        """Return when the handler has really ended; only then is its slot free again."""
        task = attempt.left_behind
        if task is None:
            return
        await asyncio.wait({task}, timeout=STUCK_AFTER_SECONDS)
        if not task.done():
            attempt.is_stuck = True
            self._emit(HandlerStuck(attempt.claim.item.queue, attempt.claim.item.id))
            await asyncio.wait({task})
        attempt.is_stuck = False
        if not task.cancelled():
            task.exception()  # its attempt is settled; what it raised afterwards changes nothing
