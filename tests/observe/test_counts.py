"""Events end in the counters and histograms that METRICS.md promises."""

from __future__ import annotations

import pytest

from tests.observe.events import ManualClock, make_metrics, value
from tirelessd.core.buckets import Buckets
from tirelessd.core.events import (
    AttemptFinished,
    BackgroundRoundsStarted,
    BackgroundTaskFailed,
    BackgroundTaskSucceeded,
    ClaimFinished,
    DeadItemsPurged,
    Event,
    IntakeRequestFinished,
    IntakeRequestStarted,
    ItemAccepted,
    ItemCancelled,
    ItemClaimed,
    ItemDied,
    ItemSucceeded,
    StoreOperationFinished,
)
from tirelessd.core.outcome import DeadReason, Failure, Outcome, Reason


def attempt(outcome: Outcome, failure: Failure | None = None, seconds: float = 0.2) -> Event:
    """An attempt on an item of the queue `work`."""
    return AttemptFinished("work", "item-1", 1, 1, outcome, seconds, failure)


# --- intake ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "ok"),
        (202, "ok"),
        (404, "client_error"),
        (422, "client_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_an_answer_is_somebody_s_fault_or_nobody_s(status: int, kind: str) -> None:
    """Durations are kept apart by it: refusals are quick and would hide the rest."""
    metrics = make_metrics()

    metrics(IntakeRequestFinished("accepted", status, 0.004))

    name = "intake_request_duration_seconds_count"
    assert value(metrics, name, **{"class": kind}) == 1


def test_requests_in_flight_are_those_not_answered() -> None:
    """Two came, one was answered."""
    metrics = make_metrics()

    metrics(IntakeRequestStarted())
    metrics(IntakeRequestStarted())
    metrics(IntakeRequestFinished("queue_full", 503, 0.001))

    assert value(metrics, "intake_requests_in_flight") == 1
    assert value(metrics, "intake_requests_total", result="queue_full") == 1


def test_an_accepted_item_counts_with_its_size() -> None:
    """The size is the payload's."""
    metrics = make_metrics()

    metrics(ItemAccepted("work", "item-1", 1024, is_handed_off=False))

    assert value(metrics, "items_accepted_total", queue="work") == 1
    assert value(metrics, "item_size_bytes_sum", queue="work") == 1024
    assert value(metrics, "item_size_bytes_bucket", queue="work", le="1024.0") == 1


# --- attempts and ends -------------------------------------------------------------------------


def test_a_success_counts_without_a_reason() -> None:
    """One attempt, one duration."""
    metrics = make_metrics()

    metrics(attempt(Outcome.SUCCESS))

    where = {"queue": "work", "outcome": "success"}
    assert value(metrics, "attempts_total", **where, reason="none") == 1
    assert value(metrics, "attempt_duration_seconds_count", **where) == 1


def test_a_retry_that_was_asked_to_wait_is_throttled() -> None:
    """Work held back on purpose is told from work that backs off by itself."""
    metrics = make_metrics()

    metrics(attempt(Outcome.RETRY, Failure(Reason.HTTP_429, "429", 429, 2.0)))
    metrics(attempt(Outcome.RETRY, Failure(Reason.HTTP_429, "429", 429)))
    metrics(attempt(Outcome.GIVE_UP, Failure(Reason.HTTP_429, "429", 429, 2.0)))

    assert value(metrics, "throttled_total", queue="work", source="retry_after") == 1
    where = {"queue": "work", "reason": "http_429"}
    assert value(metrics, "attempts_total", **where, outcome="retry") == 2
    assert value(metrics, "attempts_total", **where, outcome="give_up") == 1


def test_a_released_attempt_counts_without_a_duration() -> None:
    """The drain decided how long it ran, so it would only blur how long work takes."""
    metrics = make_metrics()

    metrics(attempt(Outcome.RELEASED, Failure(Reason.DRAIN, "draining")))

    where = {"queue": "work", "outcome": "released"}
    assert value(metrics, "attempts_total", **where, reason="drain") == 1
    assert value(metrics, "attempt_duration_seconds_count", **where) is None


@pytest.mark.parametrize(("number", "phase"), [(1, "first"), (2, "retry"), (9, "retry")])
def test_waiting_is_counted_per_attempt(number: int, phase: str) -> None:
    """From due to claimed, the first attempt apart from all others."""
    metrics = make_metrics()

    metrics(ItemClaimed("work", "item-1", number, 0.3, is_handed_off=False))

    assert value(metrics, "item_wait_seconds_sum", queue="work", phase=phase) == 0.3


@pytest.mark.parametrize(
    ("event", "outcome", "retried"),
    [
        (ItemSucceeded("work", "item-1", 1, 2.0), "succeeded", "false"),
        (ItemSucceeded("work", "item-1", 2, 2.0), "succeeded", "true"),
        (ItemDied("work", "item-1", 1, 2.0, DeadReason.PERMANENT, None), "dead", "false"),
        (ItemDied("work", "item-1", 5, 2.0, DeadReason.MAX_ATTEMPTS, None), "dead", "true"),
        (ItemCancelled("work", "item-1"), "cancelled", "false"),
        (ItemCancelled("work", "item-1", 3), "cancelled", "true"),
    ],
)
def test_an_item_that_ends_tells_whether_it_was_retried(
    event: Event, outcome: str, retried: str
) -> None:
    """What retries have saved is the share of successes that took more than one attempt."""
    metrics = make_metrics()

    metrics(event)

    where = {"queue": "work", "outcome": outcome, "retried": retried}
    assert value(metrics, "items_completed_total", **where) == 1


@pytest.mark.parametrize("items", [None, 0, 4])
def test_a_claim_counts_by_its_answer(items: int | None) -> None:
    """Only a claim that found something has a batch size."""
    metrics = make_metrics()

    metrics(ClaimFinished("work", items))

    result = {None: "error", 0: "empty", 4: "hit"}[items]
    assert value(metrics, "claims_total", queue="work", result=result) == 1
    assert value(metrics, "claim_batch_items_count", queue="work") == (1 if items else 0)


def test_a_purge_counts_every_item() -> None:
    """One event may stand for many items."""
    metrics = make_metrics()

    metrics(DeadItemsPurged("work", 500, "ttl"))

    assert value(metrics, "dead_items_purged_total", queue="work", source="ttl") == 500


# --- store and background ----------------------------------------------------------------------


def test_a_failed_store_verb_counts_as_an_operation_and_an_error() -> None:
    """Time is spent on failures too."""
    metrics = make_metrics()

    metrics(StoreOperationFinished("settle", 0.7, "busy"))

    where = {"backend": "sqlite", "operation": "settle"}
    assert value(metrics, "store_operation_duration_seconds_count", **where) == 1
    assert value(metrics, "store_errors_total", **where, kind="busy") == 1


def test_a_background_round_leaves_its_time() -> None:
    """A timestamp, so that an alert can say how long ago without asking the daemon."""
    clock = ManualClock(wall=1_000.0)
    metrics = make_metrics(clock=clock)

    metrics(BackgroundTaskSucceeded("purge"))

    name = "background_task_last_success_timestamp_seconds"
    assert value(metrics, name, task="purge") == 1_000.0


def test_a_background_task_says_how_often_it_comes() -> None:
    """From its start: one that never finishes a round must be missed, too."""
    metrics = make_metrics()

    metrics(BackgroundRoundsStarted("purge", 10.0))

    assert value(metrics, "background_task_interval_seconds", task="purge") == 10.0
    assert value(metrics, "background_task_last_success_timestamp_seconds", task="purge") == 0


def test_tasks_count_by_kind() -> None:
    """A slot's task carries a queue and a number in its name, which are no label."""
    metrics = make_metrics()

    metrics(BackgroundTaskFailed("slot work 17", RuntimeError("boom"), 1))

    assert value(metrics, "background_task_failures_total", task="slot") == 1


# --- buckets -----------------------------------------------------------------------------------


def test_buckets_can_be_replaced() -> None:
    """A bound that a promise hangs on can be had exactly."""
    metrics = make_metrics(buckets=Buckets(attempt=(0.15, 0.42)))

    metrics(attempt(Outcome.SUCCESS, seconds=0.42))

    where = {"queue": "work", "outcome": "success"}
    assert value(metrics, "attempt_duration_seconds_bucket", **where, le="0.15") == 0
    assert value(metrics, "attempt_duration_seconds_bucket", **where, le="0.42") == 1


@pytest.mark.parametrize("bounds", [(), (1, 1), (2, 1), (0, 1), (-1, 1)])
def test_buckets_that_make_no_sense_are_refused(bounds: tuple[float, ...]) -> None:
    """The error names the list."""
    with pytest.raises(ValueError, match=r"buckets\.wait"):
        Buckets(wait=bounds)
