"""Promises are counted exactly: each item once, by its queue's targets, whatever the buckets."""

from __future__ import annotations

import pytest

from tests.observe.events import make_metrics, value
from tirelessd.core.events import AttemptFinished, Event, ItemCancelled, ItemDied, ItemSucceeded
from tirelessd.core.outcome import DeadReason, Outcome
from tirelessd.core.queue import QueueConfig, Slo
from tirelessd.observe.metrics import Metrics

PROMISED = QueueConfig("work", slo=Slo(wait_seconds=3.0, end_to_end_seconds=40.0, objective=0.95))


@pytest.fixture
def metrics() -> Metrics:
    """Of a queue whose items should have a slot within 3 s and end within 40 s."""
    return make_metrics(PROMISED)


def counted(metrics: Metrics, slo: str) -> tuple[float | None, float | None]:
    """How many of a promise were kept, and of how many."""
    good, events = (
        value(metrics, f"slo_{name}_total", queue="work", slo=slo)
        for name in ("good_events", "events")
    )
    return good, events


def attempt(number: int, waited_seconds: float, outcome: Outcome = Outcome.SUCCESS) -> Event:
    """An attempt that was settled, or handed back."""
    return AttemptFinished("work", "item-1", number, 1, outcome, 0.2, waited_seconds=waited_seconds)


def test_promises_are_shown(metrics: Metrics) -> None:
    """One rule serves every queue, for each queue's own targets are series."""
    where = {"queue": "work"}

    assert value(metrics, "slo_target_seconds", **where, slo="wait") == 3.0
    assert value(metrics, "slo_target_seconds", **where, slo="end_to_end") == 40.0
    assert value(metrics, "slo_target_seconds", **where, slo="success") is None
    for slo in ("wait", "end_to_end", "success"):
        assert value(metrics, "slo_objective_ratio", **where, slo=slo) == 0.95


@pytest.mark.parametrize(("seconds", "good"), [(0.0, 1), (3.0, 1), (3.001, 0), (9e9, 0)])
def test_a_wait_is_held_to_its_target(metrics: Metrics, seconds: float, good: int) -> None:
    """Exactly the target is still in time."""
    metrics(attempt(1, seconds))

    assert counted(metrics, "wait") == (good, 1)


def test_an_item_has_one_first_wait(metrics: Metrics) -> None:
    """Handed back by a drain it waits on, and what follows a failure is another wait."""
    metrics(attempt(1, 1.0, Outcome.RELEASED))
    metrics(attempt(1, 2.0, Outcome.RETRY))
    metrics(attempt(2, 500.0))
    metrics(ItemSucceeded("work", "item-1", 2, 5.0))

    assert counted(metrics, "wait") == (1, 1)


def test_an_item_that_nobody_attempted_waited_for_nothing(metrics: Metrics) -> None:
    """It expired in the queue: no promise was kept, whenever it ended."""
    metrics(ItemDied("work", "item-1", 0, 500.0, DeadReason.EXPIRED, None))

    assert [counted(metrics, slo) for slo in ("wait", "end_to_end", "success")] == [(0, 1)] * 3


@pytest.mark.parametrize(
    ("event", "in_time", "good"),
    [
        (ItemSucceeded("work", "item-1", 1, 40.0), 1, 1),
        (ItemSucceeded("work", "item-1", 1, 40.1), 0, 1),
        (ItemDied("work", "item-1", 1, 2.0, DeadReason.PERMANENT, None), 1, 0),
    ],
)
def test_an_end_is_in_time_or_good_or_both(
    metrics: Metrics, event: Event, in_time: int, good: int
) -> None:
    """A quick death spoils the one promise, a late success the other."""
    metrics(event)

    assert counted(metrics, "end_to_end") == (in_time, 1)
    assert counted(metrics, "success") == (good, 1)


def test_a_cancelled_item_counts_nowhere(metrics: Metrics) -> None:
    """Its caller no longer wants anything of it."""
    metrics(ItemCancelled("work", "item-1", 0))

    assert [counted(metrics, slo) for slo in ("wait", "end_to_end", "success")] == [(0, 0)] * 3


def test_nothing_was_promised_of_an_unconfigured_queue(metrics: Metrics) -> None:
    """There is no target that its items could be held to."""
    metrics(ItemSucceeded("removed", "item-1", 1, 1.0))

    assert {
        sample.labels["queue"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if family.name.startswith("tirelessd_slo")
    } == {"work"}
