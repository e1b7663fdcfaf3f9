"""Retry is tenacity: the same strategies, with the sleep stored as a due time instead of slept.

`StoredRetrying` is built the way tenacity builds `AsyncRetrying`: a subclass of `BaseRetrying` that
drives `iter()`. It runs the attempt once; on failure tenacity's own `iter()` decides on a
`RetryCallState` restored from the item (attempt number, seconds since the generation's first due
time), and the sleep it asks for becomes the answer. So a backoff survives restarts and holds no
slot, lease or memory.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, SupportsFloat, cast

import tenacity
from tenacity.retry import retry_if_exception
from tenacity.stop import stop_after_attempt, stop_base, stop_before_delay
from tenacity.wait import wait_base, wait_exponential

from tirelessd.core.clock import Clock, SystemClock
from tirelessd.core.decision import Complete, Decision, GiveUpBecause, RetryAfter
from tirelessd.core.errors import AttemptError
from tirelessd.core.outcome import Classifier, DeadReason, Failure, Reason
from tirelessd.core.queue import RetryPolicy


class Tried(Protocol):
    """What the policy needs to know of the item it decides about; a `Claim` is one.

    `elapsed_seconds` and `deadline_seconds` both count from the generation's first due time.
    """

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1, in this generation."""
        ...

    @property
    def elapsed_seconds(self) -> float:
        """How old the generation was when this attempt was claimed."""
        ...

    @property
    def deadline_seconds(self) -> float:
        """How old the generation may become."""
        ...

    @property
    def lost_leases(self) -> int:
        """How many attempts of the generation lost their lease before this one."""
        ...


class wait_full_jitter(wait_exponential):  # noqa: N801  (named as tenacity names its strategies)
    """Full jitter: evenly from [floor, bound], the bound growing up to the cap.

    Drawn last and never clamped afterwards, so the spread does not vanish at the cap.
    Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, policy: RetryPolicy, source: random.Random) -> None:
        super().__init__(
            multiplier=policy.initial_seconds, max=policy.cap_seconds, exp_base=policy.multiplier
        )
        self._floor = policy.floor_seconds
        self._source = source

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        """Seconds to wait before the next attempt."""
        # The floor also guards a bound that a small initial wait puts below it.
        return self._source.uniform(self._floor, max(self._floor, super().__call__(retry_state)))


class wait_asked(wait_base):  # noqa: N801
    """What the other side asked for (`Retry-After`), capped; nothing when it did not ask.

    Added to the drawn wait, so that a crowd told "2 s" does not come back as one.
    """

    def __init__(self, cap_seconds: float) -> None:
        self._cap = cap_seconds

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        """Seconds asked for, at most the cap."""
        error = failure_of(retry_state)
        asked = error.retry_after_seconds if isinstance(error, AttemptError) else None
        return min(max(asked, 0.0), self._cap) if asked is not None else 0.0


class stop_before_deadline(stop_base):  # noqa: N801
    """tenacity's `stop_before_delay`, with the deadline of the item at hand."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        """Whether the next attempt would start at or after the deadline."""
        return stop_before_delay(tried_by(retry_state).deadline_seconds)(retry_state)


class stop_after_lost_leases(stop_base):  # noqa: N801
    """Stop when this many leases were lost on one item: it may be what kills the process."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        """Whether this loss was the last one allowed."""
        error = failure_of(retry_state)
        is_loss = isinstance(error, AttemptError) and error.reason == Reason.LEASE_LOST
        return is_loss and tried_by(retry_state).lost_leases + 1 >= self._count


def tried_by(retry_state: tenacity.RetryCallState) -> Tried:
    """The item that a retried call is about: its first argument."""
    return cast(Tried, retry_state.args[0])


def failure_of(retry_state: tenacity.RetryCallState) -> BaseException | None:
    """The exception that the last attempt ended with."""
    return retry_state.outcome.exception() if retry_state.outcome is not None else None


class stop_because(stop_base):  # noqa: N801
    """Stop as soon as one of the strategies does, and know which dead reason that means."""

    def __init__(self, *rules: tuple[stop_base, DeadReason]) -> None:
        self._rules = rules

    def reason(self, retry_state: tenacity.RetryCallState) -> DeadReason | None:
        """The dead reason of the first strategy that stops, None when none does."""
        for strategy, reason in self._rules:
            if strategy(retry_state):
                return reason
        return None

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        """Whether any strategy stops."""
        return self.reason(retry_state) is not None


class StoredRetrying(tenacity.BaseRetrying):
    """A tenacity controller whose answer is a `Decision`, reached after one attempt.

    Any tenacity strategy fits: `retry`, `wait` and `stop` are used as tenacity uses them. They must
    be synchronous and keep no state between items, for one controller serves a whole queue.
    """

    def __init__(
        self, classifier: Classifier, clock: Clock | None = None, **strategies: Any
    ) -> None:
        strategies.setdefault("retry", retry_if_exception(classifier.is_retriable))
        super().__init__(**strategies)
        self._classifier = classifier
        # Not the event loop's time, which stands still while a handler blocks the loop.
        self._now = (clock or SystemClock()).monotonic

    async def __call__(  # type: ignore[override]  # the answer is a decision, not fn's own result
        self, fn: Callable[..., Awaitable[Complete]], tried: Tried, *args: Any
    ) -> Decision:
        """Run one attempt; a success costs nothing but the call, a failure is decided on.

        A cancellation of the running task passes through; a `CancelledError` that the handler
        raised by itself is that handler's failure.
        """
        started = self._now()
        try:
            return await fn(tried, *args)
        except BaseException as error:  # even SystemExit: a handler must not end the daemon
            if isinstance(error, GeneratorExit) or is_own_cancellation(error):
                raise
            return self.decide(error, tried, self._now() - started)

    def decide(self, error: BaseException, tried: Tried, duration_seconds: float = 0.0) -> Decision:
        """What follows from a failure, by tenacity's own `iter()` on the restored state."""
        state = tenacity.RetryCallState(self, fn=None, args=(tried,), kwargs={})
        state.attempt_number = tried.attempt
        state.set_exception((type(error), error, error.__traceback__))
        # The clock of the restored state runs from the generation's first due time.
        state.start_time = (
            (state.outcome_timestamp or 0.0) - tried.elapsed_seconds - duration_seconds
        )
        # tenacity keeps tallies per thread; begun anew, so that nothing of another item shows.
        self.begin()
        failure = self._classifier.classify(error)
        try:
            asked = cast(SupportsFloat, self.iter(state))
        except tenacity.RetryError:
            # tenacity's way to say that a stop strategy stopped.
            return GiveUpBecause(self._stop_reason(state), failure)
        except BaseException as raised:
            # The retry predicate refused: tenacity raises the failure itself again.
            if raised is not error:
                raise
            return GiveUpBecause(refusal(failure), failure)
        return RetryAfter(float(asked), failure)

    def _stop_reason(self, state: tenacity.RetryCallState) -> DeadReason:
        # A strategy of somebody else's stops for reasons of its own; the nearest word is ours.
        known = self.stop.reason(state) if isinstance(self.stop, stop_because) else None
        return known or DeadReason.MAX_ATTEMPTS


def refusal(failure: Failure) -> DeadReason:
    """The dead reason of a failure that the retry predicate refused."""
    is_permanent = failure.reason is Reason.PERMANENT
    return DeadReason.PERMANENT if is_permanent else DeadReason.NOT_RETRIABLE


def is_own_cancellation(error: BaseException) -> bool:
    """Whether somebody is cancelling the running task, so that this error must pass through.

    tenacity's broader predicates would run a cancelled function again (jd/tenacity#529).
    """
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def stored_retrying(policy: RetryPolicy, source: random.Random) -> StoredRetrying:
    """The controller for a queue's configured policy; `source` draws the jitter."""
    return StoredRetrying(
        Classifier(policy.retry_on, policy.give_up_on),
        wait=wait_asked(policy.retry_after_cap_seconds) + wait_full_jitter(policy, source),
        stop=stop_because(
            (stop_after_lost_leases(policy.max_lost_leases), DeadReason.LEASE_LOST),
            (stop_after_attempt(policy.max_attempts), DeadReason.MAX_ATTEMPTS),
            (stop_before_deadline(), DeadReason.EXPIRED),
        ),
    )
