"""Retry is tenacity: the stored path decides what plain tenacity decides, one attempt at a time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st
from tenacity.wait import wait_chain, wait_exception, wait_fixed

from tirelessd.core.decision import Complete, Decision, GiveUpBecause, RetryAfter
from tirelessd.core.errors import AttemptError, GiveUp, Retry
from tirelessd.core.outcome import Classifier, DeadReason, Reason
from tirelessd.core.policy import StoredRetrying, stored_retrying, wait_asked, wait_full_jitter
from tirelessd.core.queue import RetryPolicy


class Try(msgspec.Struct, frozen=True):
    """What the policy knows of an item."""

    attempt: int = 1
    elapsed_seconds: float = 0.0
    deadline_seconds: float = 86_400.0
    lost_leases: int = 0


def decide(policy: RetryPolicy, error: BaseException, tried: Try | None = None) -> Decision:
    """One failure, judged."""
    return stored_retrying(policy, random.Random(1)).decide(error, tried or Try())


def plain_run(policy: RetryPolicy, errors: Sequence[Exception]) -> tuple[int, list[float]]:
    """Plain `AsyncRetrying` with a fake sleep: attempts made, waits asked for."""
    waits: list[float] = []
    left = list(errors)
    made = 0

    async def attempt(tried: Try) -> str:
        nonlocal made
        made += 1
        if left:
            raise left.pop(0)
        return "done"

    async def fake_sleep(seconds: float) -> None:
        waits.append(seconds)

    stored = stored_retrying(policy, random.Random(7))
    plain = tenacity.AsyncRetrying(
        retry=stored.retry, wait=stored.wait, stop=stored.stop, sleep=fake_sleep
    )

    async def run() -> None:
        try:
            await plain(attempt, Try())
        except (tenacity.RetryError, AttemptError):
            return

    asyncio.run(run())
    return made, waits


def stored_run(policy: RetryPolicy, errors: Sequence[Exception]) -> tuple[int, list[float]]:
    """The same policy through the stored path, an item's row between the attempts."""
    retrying = stored_retrying(policy, random.Random(7))
    left = list(errors)
    waits: list[float] = []

    async def attempt(tried: Try) -> Complete:
        if left:
            raise left.pop(0)
        return Complete()

    async def run() -> int:
        tried = Try()
        while True:
            decision = await retrying(attempt, tried)
            if not isinstance(decision, RetryAfter):
                return tried.attempt
            waits.append(decision.seconds)
            tried = Try(attempt=tried.attempt + 1)

    return asyncio.run(run()), waits


FAILURES: list[Callable[[], Exception]] = [
    lambda: ValueError("handler"),
    lambda: AttemptError("http_5xx", status=503),
    lambda: AttemptError("http_429", status=429, retry_after_seconds=2.5),
    lambda: AttemptError("http_4xx", status=404),
    lambda: Retry(after_seconds=1.0),
    lambda: GiveUp("no"),
]


@given(
    choices=st.lists(st.integers(0, len(FAILURES) - 1), max_size=8),
    max_attempts=st.integers(1, 6),
    multiplier=st.floats(1, 5),
)
def test_stored_path_is_plain_tenacity(
    choices: list[int], max_attempts: int, multiplier: float
) -> None:
    """With the same seed both make the same attempts and ask for the same waits."""
    policy = RetryPolicy(max_attempts=max_attempts, multiplier=multiplier, cap_seconds=30)

    plain = plain_run(policy, [FAILURES[choice]() for choice in choices])
    stored = stored_run(policy, [FAILURES[choice]() for choice in choices])

    assert stored == plain


@given(attempt=st.integers(1, 5_000), seed=st.integers(0, 1 << 30))
def test_wait_is_drawn_between_floor_and_bound(attempt: int, seed: int) -> None:
    """Full jitter: never below the floor, never above the bound, which never exceeds the cap."""
    policy = RetryPolicy(max_attempts=10_000, initial_seconds=1, cap_seconds=60, floor_seconds=0.1)
    retrying = stored_retrying(policy, random.Random(seed))

    decision = retrying.decide(ValueError(), Try(attempt=attempt))

    assert isinstance(decision, RetryAfter)
    bound = min(60.0, 2.0 ** min(attempt - 1, 64))
    assert 0.1 <= decision.seconds <= max(0.1, bound)


def test_jitter_does_not_vanish_at_the_cap() -> None:
    """At the cap the waits are still spread over the whole range."""
    policy = RetryPolicy(max_attempts=100, cap_seconds=10)
    retrying = stored_retrying(policy, random.Random(3))

    decisions = [retrying.decide(ValueError(), Try(attempt=50)) for _ in range(1_000)]

    waits = [decision.seconds for decision in decisions if isinstance(decision, RetryAfter)]
    assert len(waits) == 1_000
    assert min(waits) < 1
    assert max(waits) > 9
    assert 4.5 < sum(waits) / len(waits) < 5.5


def test_asked_wait_is_added_and_capped() -> None:
    """`Retry-After` comes on top of the drawn wait, its own part at most the cap."""
    policy = RetryPolicy(initial_seconds=1, retry_after_cap_seconds=100)

    asked = decide(policy, AttemptError("http_429", status=429, retry_after_seconds=7))
    too_much = decide(policy, AttemptError("http_429", status=429, retry_after_seconds=1e9))
    nonsense = decide(policy, AttemptError("http_429", status=429, retry_after_seconds=-5))

    assert isinstance(asked, RetryAfter)
    assert isinstance(too_much, RetryAfter)
    assert isinstance(nonsense, RetryAfter)
    assert 7.1 <= asked.seconds <= 8
    assert 100.1 <= too_much.seconds <= 101
    assert 0.1 <= nonsense.seconds <= 1


@pytest.mark.parametrize(
    ("error", "tried", "reason"),
    [
        (ValueError(), Try(attempt=20), DeadReason.MAX_ATTEMPTS),
        (ValueError(), Try(elapsed_seconds=86_400), DeadReason.EXPIRED),
        (ValueError(), Try(deadline_seconds=0.05), DeadReason.EXPIRED),
        (Retry(after_seconds=3_600), Try(deadline_seconds=3_600), DeadReason.EXPIRED),
        (AttemptError("lease_lost"), Try(lost_leases=2), DeadReason.LEASE_LOST),
        (GiveUp(), Try(), DeadReason.PERMANENT),
        (AttemptError("http_3xx", status=302), Try(), DeadReason.NOT_RETRIABLE),
        (AttemptError("http_4xx", status=404), Try(), DeadReason.NOT_RETRIABLE),
    ],
)
def test_giving_up_has_one_reason(error: Exception, tried: Try, reason: DeadReason) -> None:
    """Every way to the end has its word; a retry that would pass the deadline is expired."""
    decision = decide(RetryPolicy(), error, tried)

    assert isinstance(decision, GiveUpBecause)
    assert decision.reason is reason


def test_lost_leases_are_retried_until_the_third() -> None:
    """Two losses are bad luck."""
    lost = AttemptError(Reason.LEASE_LOST)

    decisions = [decide(RetryPolicy(), lost, Try(lost_leases=losses)) for losses in (0, 1)]

    assert all(isinstance(decision, RetryAfter) for decision in decisions)


async def test_success_is_passed_through() -> None:
    """What the attempt answers is the decision."""
    retrying = stored_retrying(RetryPolicy(), random.Random(1))

    async def attempt(tried: Try, word: str) -> Complete:
        return Complete(word.encode())

    assert await retrying(attempt, Try(), "yes") == Complete(b"yes")


async def test_cancellation_of_the_task_passes_through() -> None:
    """A task that is being cancelled ends; its attempt is not counted as a failure."""
    retrying = stored_retrying(RetryPolicy(), random.Random(1))

    async def attempt(tried: Try) -> Complete:
        await asyncio.Event().wait()
        return Complete()

    task = asyncio.get_running_loop().create_task(retrying(attempt, Try()))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_broad_predicate_runs_no_cancelled_attempt_again() -> None:
    """Even a predicate that retries everything leaves a cancellation alone."""
    runs: list[int] = []
    retrying = StoredRetrying(Classifier(), retry=tenacity.retry_always, wait=wait_fixed(0))

    async def attempt(tried: Try) -> Complete:
        runs.append(1)
        await asyncio.Event().wait()
        return Complete()

    task = asyncio.get_running_loop().create_task(retrying(attempt, Try()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert runs == [1]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_exceptions_that_end_programs_are_failures(error: BaseException) -> None:
    """What a handler raises is its failure, whatever it would mean elsewhere."""
    retrying = stored_retrying(RetryPolicy(), random.Random(1))

    async def attempt(tried: Try) -> Complete:
        raise error

    decision = await retrying(attempt, Try())

    assert isinstance(decision, RetryAfter)
    assert decision.failure.reason is Reason.HANDLER


@pytest.mark.parametrize(
    ("strategies", "tried", "seconds"),
    [
        ({"wait": wait_chain(wait_fixed(1), wait_fixed(5))}, Try(attempt=1), 1.0),
        ({"wait": wait_chain(wait_fixed(1), wait_fixed(5))}, Try(attempt=2), 5.0),
        ({"wait": wait_fixed(2) + wait_fixed(3)}, Try(), 5.0),
        ({"wait": wait_exception(lambda error: len(str(error)))}, Try(), 5.0),
    ],
)
def test_any_tenacity_wait_fits(strategies: dict[str, Any], tried: Try, seconds: float) -> None:
    """Chains, sums and waits that depend on the error work as they do in tenacity."""
    decision = StoredRetrying(Classifier(), **strategies).decide(ValueError("12345"), tried)

    assert isinstance(decision, RetryAfter)
    assert decision.seconds == seconds


def test_foreign_stop_strategy_means_no_more_attempts() -> None:
    """A stop strategy of somebody else's ends the item as out of attempts."""
    retrying = StoredRetrying(Classifier(), stop=tenacity.stop_after_delay(10))

    decision = retrying.decide(ValueError(), Try(elapsed_seconds=11))

    assert isinstance(decision, GiveUpBecause)
    assert decision.reason is DeadReason.MAX_ATTEMPTS


def test_try_again_is_an_explicit_retry() -> None:
    """tenacity's own exception asks for another attempt, whatever the predicate says."""
    retrying = StoredRetrying(Classifier(), retry=tenacity.retry_never, wait=wait_fixed(1))

    assert isinstance(retrying.decide(tenacity.TryAgain(), Try()), RetryAfter)


def test_defect_of_a_strategy_is_raised() -> None:
    """A strategy that raises is a defect, not a decision."""

    def broken(state: tenacity.RetryCallState) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        StoredRetrying(Classifier(), wait=broken).decide(ValueError(), Try())


def test_one_controller_serves_many_items_at_once() -> None:
    """Decisions about one item leave no trace in those about another."""
    retrying = stored_retrying(RetryPolicy(max_attempts=3), random.Random(1))

    last = retrying.decide(ValueError(), Try(attempt=3))
    first = retrying.decide(ValueError(), Try(attempt=1))

    assert isinstance(last, GiveUpBecause)
    assert isinstance(first, RetryAfter)


def test_strategies_show_what_they_are() -> None:
    """The default policy is a sum of two named waits."""
    wait = stored_retrying(RetryPolicy(), random.Random(1)).wait

    kinds = {type(part) for part in getattr(wait, "wait_funcs", ())}

    assert {wait_asked, wait_full_jitter} <= kinds
