"""Gauges show what was read of the pools, the store and the daemon, and nothing older."""

from __future__ import annotations

import msgspec
import pytest

from tests.observe.events import make_metrics, value
from tirelessd.core.item import ShownState
from tirelessd.engine.pool import PoolReading
from tirelessd.observe import labels
from tirelessd.store.base import QueueSnapshot, Snapshot


def test_pools_are_shown_as_read() -> None:
    """Gauges are set, not counted, so no missed event can leave one wrong."""
    metrics = make_metrics()
    pool = PoolReading(
        slots=4,
        busy=3,
        stuck=1,
        is_paused=True,
        unfinished_seconds=7.5,
        longest_running_seconds=5.0,
        mean_attempt_seconds=0.5,
        last_claim_at=1_000.0,
        last_progress_at=999.0,
    )

    metrics.see_pools({"work": pool, "unknown": pool})

    assert value(metrics, "slots_busy", queue="work") == 3
    assert value(metrics, "slots_stuck", queue="work") == 1
    assert value(metrics, "queue_paused", queue="work") == 1
    assert value(metrics, "attempts_unfinished_seconds", queue="work") == 7.5
    assert value(metrics, "attempt_longest_running_seconds", queue="work") == 5.0
    assert value(metrics, "queue_last_claim_timestamp_seconds", queue="work") == 1_000.0
    assert value(metrics, "queue_last_progress_timestamp_seconds", queue="work") == 999.0
    assert value(metrics, "slots", queue="unknown") is None


def snapshot(**counts: int) -> Snapshot:
    """A store whose queue `work` holds so many items per state."""
    states = {ShownState(state): count for state, count in counts.items()}
    ages = dict.fromkeys(states, 8.0)
    nothing = QueueSnapshot({}, 0.0, {})
    return Snapshot({"work": QueueSnapshot(states, 4.0, ages)}, nothing, 4096, 1 << 30, 512)


def test_a_snapshot_is_shown_with_its_age() -> None:
    """Counts and ages from the store, and when they were taken: a stale gauge can be seen."""
    metrics = make_metrics()

    metrics.see_store(snapshot(ready=2, dead=1), taken_at=1_000.0, duration_seconds=0.02)

    where = {"store": "main", "queue": "work"}
    assert value(metrics, "queue_items", **where, state="ready") == 2
    assert value(metrics, "queue_items", **where, state="scheduled") == 0
    assert value(metrics, "queue_item_age_seconds", **where, state="dead") == 8.0
    assert value(metrics, "queue_ready_age_seconds", **where) == 4.0
    assert value(metrics, "queue_snapshot_timestamp_seconds", store="main") == 1_000.0
    assert value(metrics, "queue_snapshot_duration_seconds", store="main") == 0.02
    assert value(metrics, "store_size_bytes", store="main") == 4096
    assert value(metrics, "store_wal_bytes", store="main") == 512


def test_a_state_that_emptied_falls_to_zero() -> None:
    """A drained queue says 0, it does not keep its last count."""
    metrics = make_metrics()
    metrics.see_store(snapshot(ready=2), taken_at=1.0, duration_seconds=0.0)

    metrics.see_store(snapshot(), taken_at=2.0, duration_seconds=0.0)

    where = {"store": "main", "queue": "work"}
    assert value(metrics, "queue_items", **where, state="ready") == 0
    assert value(metrics, "queue_item_age_seconds", **where, state="ready") == 0


@pytest.mark.parametrize("state", labels.LIFECYCLE_STATES)
def test_exactly_one_lifecycle_state_is_on(state: str) -> None:
    """One-hot, so that a timeline needs no arithmetic."""
    metrics = make_metrics()

    metrics.see_life(state, is_ready=False, is_store_up=True)  # type: ignore[arg-type]

    shown = {s: value(metrics, "lifecycle_state", state=s) for s in labels.LIFECYCLE_STATES}
    assert shown == {s: float(s == state) for s in labels.LIFECYCLE_STATES}
    assert value(metrics, "ready") == 0
    assert value(metrics, "store_up", store="main") == 1


def test_tasks_are_shown_by_kind() -> None:
    """A slot by itself, for there are many; what nobody supervises and no caller has, too."""
    metrics = make_metrics()
    supervised = {"slot": 4, "attempt": 2, "claim": 1, "snapshot": 1, "late": 3}

    metrics.see_tasks(supervised, connections=7, total=20)

    shown = {kind: value(metrics, "asyncio_tasks", kind=kind) for kind in labels.TASK_KINDS}
    assert shown == {"loop": 5, "slot": 4, "attempt": 2, "request": 7, "other": 2}


def test_a_clock_that_differs_from_the_store_s_is_shown() -> None:
    """A store whose time is ahead has a host whose clock is behind."""
    metrics = make_metrics()
    taken = msgspec.structs.replace(snapshot(), ahead_seconds=2.5)

    metrics.see_store(taken, taken_at=1_000.0, duration_seconds=0.25)

    assert value(metrics, "clock_skew_seconds") == -2.5
