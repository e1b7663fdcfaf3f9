"""The one line on which every attempt ends: settle the decision, then tell what happened.

A normal end, a timeout, an exception and a lost lease all come here with a `Decision`. What cannot
be written is settled again with the same token until it is written or refused: the caller keeps its
slot, and claims stop meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
import tenacity

from tirelessd.core.decision import Complete, Decision, GiveUpBecause, RetryAfter, Settlement
from tirelessd.core.errors import StoreError, UnstorableValue
from tirelessd.core.events import (
    AttemptFinished,
    Emit,
    ItemDied,
    ItemSucceeded,
    LateCompletion,
)
from tirelessd.core.item import Claim
from tirelessd.core.outcome import Failure, Outcome, Reason
from tirelessd.core.trace import AttemptTrace, TraceContext
from tirelessd.engine.capacity import Capacity
from tirelessd.engine.health import StoreWatch
from tirelessd.store.base import Settled, Store

P = ParamSpec("P")
T = TypeVar("T")

RETRY_INITIAL_SECONDS: Final = 0.05
RETRY_CAP_SECONDS: Final = 1.0
DRAINED: Final = Failure(Reason.DRAIN, "the daemon is draining; the attempt is not counted")


class Settler:
    """Writes decisions through leases and emits the events that follow."""

    def __init__(self, store: Store, watch: StoreWatch, capacity: Capacity, emit: Emit) -> None:
        self._store = store
        self._watch = watch
        self._capacity = capacity
        self._emit = emit

    async def settle(
        self,
        claim: Claim,
        decision: Decision,
        trace: AttemptTrace,
        *,
        duration_seconds: float,
        lease_seconds: float,
        refill: bool = False,
    ) -> Settled:
        """Write a decision; returns once it is durable, or refused because the lease was lost."""
        settlement = Settlement(
            claim.lease, decision, claim.generation, claim.attempt, duration_seconds, refill=refill
        )
        with trace.settling():
            (settled,) = await self._write((settlement,), lease_seconds)
        finished = attempt_finished(claim, decision, duration_seconds, trace.context)
        self._tell(claim, decision, finished, is_held=settled.is_held)
        trace.ended(finished.outcome if settled.is_held else None, finished.failure)
        return settled

    async def settle_lost(
        self, ended: Sequence[tuple[Claim, Decision]], lease_seconds: float
    ) -> Sequence[Settled]:
        """Write the decisions about attempts that are over since long, in one commit."""
        settlements = [
            Settlement(claim.lease, decision, claim.generation, claim.attempt)
            for claim, decision in ended
        ]
        answers = await self._write(settlements, lease_seconds)
        for (claim, decision), settled in zip(ended, answers, strict=True):
            finished = attempt_finished(claim, decision, 0.0, claim.trace)
            self._tell(claim, decision, finished, is_held=settled.is_held)
        return answers

    async def _write(
        self, settlements: Sequence[Settlement], lease_seconds: float
    ) -> Sequence[Settled]:
        try:
            return await self._store.settle(settlements, lease_seconds)
        except UnstorableValue:
            raise
        except StoreError as error:
            # The first try is a plain call: tenacity's machinery is for the rare repetition.
            self._watch.failed(error)
        repeats = [msgspec.structs.replace(one, is_repeat=True) for one in settlements]
        return await self._until_answered(self._store.settle, repeats, lease_seconds)

    async def release(
        self,
        claim: Claim,
        trace: AttemptTrace,
        duration_seconds: float,
        *,
        is_started: bool,
    ) -> bool:
        """Hand the item back un-attempted; whether the lease still held."""
        (is_held,) = await self._until_answered(self._store.release, (claim.lease,))
        if is_started and is_held:
            self._emit(
                AttemptFinished(
                    claim.item.queue,
                    claim.item.id,
                    claim.attempt,
                    claim.generation,
                    Outcome.RELEASED,
                    duration_seconds,
                    DRAINED,
                    trace=trace.context,
                )
            )
            trace.ended(Outcome.RELEASED, DRAINED)
        return is_held

    async def _until_answered(
        self, write: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Repeat a write until the store answers, with tenacity's own sleep: this wait is short."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(is_worth_repeating),
            wait=tenacity.wait_random_exponential(RETRY_INITIAL_SECONDS, RETRY_CAP_SECONDS),
            before_sleep=self._report,
            # Not the event loop's: a store that heals must not wait for the longest pause to end.
            sleep=self._watch.wait_chance,
        )
        with self._watch.owing():
            answer: T = await retrying(write, *args, **kwargs)
        self._watch.worked()
        return answer

    def _report(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, StoreError):
            self._watch.failed(error)

    def _tell(
        self, claim: Claim, decision: Decision, finished: AttemptFinished, *, is_held: bool
    ) -> None:
        item, trace = claim.item, finished.trace
        # Only what is durable is told: a refused settlement counts as nothing but late.
        if not is_held:
            self._emit(LateCompletion(item.queue, item.id, claim.attempt, trace))
            return
        self._emit(finished)
        age_seconds = claim.age_seconds + finished.duration_seconds
        # A place is free only now: it counts what has not ended by the store's word.
        if isinstance(decision, Complete):
            self._capacity.end(item.queue)
            self._emit(ItemSucceeded(item.queue, item.id, claim.attempt, age_seconds, trace))
        elif isinstance(decision, GiveUpBecause):
            self._capacity.end(item.queue)
            self._emit(
                ItemDied(
                    item.queue,
                    item.id,
                    claim.attempt,
                    age_seconds,
                    decision.reason,
                    decision.failure,
                    trace,
                )
            )


def is_worth_repeating(error: BaseException) -> bool:
    """Whether the store may take the same write another time."""
    return isinstance(error, StoreError) and not isinstance(error, UnstorableValue)


def attempt_finished(
    claim: Claim, decision: Decision, duration_seconds: float, trace: TraceContext | None
) -> AttemptFinished:
    """The event of an attempt whose settlement held."""
    outcome, failure, retry_in_seconds = Outcome.SUCCESS, None, None
    if isinstance(decision, RetryAfter):
        outcome, failure, retry_in_seconds = Outcome.RETRY, decision.failure, decision.seconds
    elif isinstance(decision, GiveUpBecause):
        outcome, failure = Outcome.GIVE_UP, decision.failure
    return AttemptFinished(
        claim.item.queue,
        claim.item.id,
        claim.attempt,
        claim.generation,
        outcome,
        duration_seconds,
        failure,
        retry_in_seconds,
        trace,
        claim.waited_seconds,
    )
