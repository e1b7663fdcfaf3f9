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
from tirelessd.core.events import DrainResult, Emit, HandlerStuck, UnexpectedError
from tirelessd.core.item import Claim, Context
from tirelessd.core.outcome import DeadReason, Failure, Reason, text_of_error
from tirelessd.core.policy import StoredRetrying
from tirelessd.core.queue import QueueConfig
from tirelessd.core.trace import UNTRACED, AttemptTrace, TraceContext
from tirelessd.core.tracer import NO_TRACER, Tracer
from tirelessd.engine.handlers.base import Handler
from tirelessd.engine.supervisor import Supervisor
from tirelessd.engine.time_limits import TimeLimits

STUCK_AFTER_SECONDS: Final = 1.0

MakeLogger = Callable[[str, str, int, TraceContext | None], Any]
"""Is given the item's id, its queue, the attempt and the trace."""


class Stop(StrEnum):
    """Why an attempt ends without a decision: its item is handed back, or belongs to others."""

    RELEASE = "release"
    LEASE_LOST = "lease_lost"


class Attempt:
    """A claim on its way through a slot.

    It waits, runs (`started_at`), is being written (`is_ending`), and is over (`result`). A handler
    that would not end then is `left_behind`, and `is_stuck` once that is worth telling.
    """

    def __init__(self, claim: Claim, trace: AttemptTrace = UNTRACED) -> None:
        self.claim = claim
        self.trace = trace
        self.started_at: float | None = None
        self.stopped: Stop | None = None
        self.is_ending = False
        self.result: DrainResult | None = None
        self.left_behind: asyncio.Task[Complete] | None = None
        self.is_stuck = False
        self._wake: asyncio.Future[None] | None = None

    def stop(self, why: Stop) -> None:
        """End the attempt now; one whose outcome is being written, or is there already, stands."""
        if self.is_ending:
            return
        self.stopped = self.stopped or why
        self.interrupt()

    def interrupt(self) -> None:
        """Have the slot wait no longer for the handler, if it does."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def wait_for(self, task: asyncio.Task[Complete]) -> None:
        """Return when the handler's task has ended, or when the attempt is interrupted.

        The task goes on after an interruption, whoever cancels the waiting.
        """
        self._wake = task.get_loop().create_future()
        task.add_done_callback(self._end_wait)
        try:
            await self._wake
        finally:
            self._wake = None

    def _end_wait(self, _task: asyncio.Task[Complete]) -> None:
        self.interrupt()

    def stop_wanted(self) -> Stop | None:
        """Why somebody wants the attempt to end without a decision, if anybody does."""
        return self.stopped

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
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._config = config
        self._handler = handler
        self._retrying = retrying
        self._supervisor = supervisor
        self._emit = emit
        self._clock = clock
        self._make_logger = make_logger
        self._tracer = tracer
        self._limits = TimeLimits(Attempt.interrupt)

    def admit(self, claim: Claim) -> Attempt:
        """The attempt that a claim is for."""
        return Attempt(claim, self._tracer.attempt(claim))

    async def decide(self, attempt: Attempt) -> Decision | Stop:
        """Run the handler and judge the outcome, unless the attempt is stopped."""
        if (why := attempt.stop_wanted()) is not None:
            return why
        decision = await self._judge(attempt)
        # What the handler did finish is worth keeping, even when it was about to be stopped.
        if (why := attempt.stop_wanted()) is not None and not isinstance(decision, Complete):
            return why
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
        self._limits.add(attempt, seconds)
        try:
            task = await self._run_handler(claim, attempt)
        finally:
            self._limits.remove(attempt)
        # An answer that comes in the very round in which the limit is reached is there.
        if task.done():
            return kept(task.result())
        raise AttemptError(Reason.TIMEOUT, f"no answer within {seconds:g} s")

    async def _run_handler(self, claim: Claim, attempt: Attempt) -> asyncio.Task[Complete]:
        """The handler in a task of its own, which has ended or has been told to.

        Whatever the handler makes of its cancellation, the slot stops waiting.
        """
        trace = attempt.trace
        call = self._handler.attempt(claim.item, self._context(claim, trace))
        name = f"attempt {claim.item.id}"
        task = self._supervisor.spawn(call, name, trace.task_context())
        try:
            await attempt.wait_for(task)
        finally:
            if not task.done():
                task.cancel()
                attempt.left_behind = task
        return task

    def _context(self, claim: Claim, trace: AttemptTrace) -> Context:
        item = claim.item
        return Context(
            claim.attempt,
            self._config.retry.max_attempts,
            claim.remaining_seconds,
            self._make_logger(item.id, item.queue, claim.attempt, trace.context),
            trace,
        )

    async def wait_ended(self, attempt: Attempt) -> None:
        """Return when the handler has really ended; only then is its slot free again."""
        task = attempt.left_behind
        if task is None:
            return
        await asyncio.wait({task}, timeout=STUCK_AFTER_SECONDS)
        if not task.done():
            attempt.is_stuck = True
            item = attempt.claim.item
            self._emit(HandlerStuck(item.queue, item.id, attempt.trace.context))
            await asyncio.wait({task})
        attempt.is_stuck = False
        if not task.cancelled():
            task.exception()  # its attempt is settled; what it raised afterwards changes nothing


def kept(answer: object) -> Complete:
    """The handler's answer, if it is one; a handler of somebody else's may break its promise."""
    if not isinstance(answer, Complete):
        detail = f"the handler answered {type(answer).__name__} instead of Complete"
        raise AttemptError(Reason.HANDLER, detail)
    return answer
