"""Events and readings end in the families that METRICS.md promises, under closed labels."""

from __future__ import annotations

import random
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observe.events import EXAMPLES, ManualClock, make_metrics, series, value
from tirelessd.core.errors import StartError
from tirelessd.core.events import (
    AttemptFinished,
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
from tirelessd.core.item import ShownState
from tirelessd.core.outcome import DeadReason, Failure, Outcome, Reason
from tirelessd.core.queue import UNCONFIGURED, QueueConfig
from tirelessd.engine.pool import PoolReading
from tirelessd.observe import labels
from tirelessd.observe.families import Buckets
from tirelessd.observe.metrics import Metrics
from tirelessd.store.base import QueueSnapshot, Snapshot

FIXED_SERIES_MAX = 401
QUEUE_SERIES_MAX = 252


def attempt(outcome: Outcome, failure: Failure | None = None, seconds: float = 0.2) -> Event:
    """An attempt on an item of the queue `work`."""
    return AttemptFinished("work", "item-1", 1, 1, outcome, seconds, failure)


# --- what is there before anything happens ---------------------------------------------------


def test_every_count_starts_at_zero() -> None:
    """Nothing has happened yet, and every series says so instead of being absent."""
    metrics = make_metrics()

    counts = {
        key: number
        for key, number in series(metrics).items()
        if key[0].startswith("tirelessd_") and key[0].endswith(("_total", "_count", "_sum"))
    }

    assert counts
    assert set(counts.values()) == {0}


@pytest.mark.parametrize(("outcome", "reason"), labels.ATTEMPT_PAIRS)
def test_every_legal_pair_of_outcome_and_reason_is_there(outcome: Outcome, reason: str) -> None:
    """An alert on the increase of any of them works for the very first one."""
    metrics = make_metrics()

    number = value(metrics, "attempts_total", queue="work", outcome=outcome, reason=reason)

    assert number == 0


def test_no_other_pair_is_there() -> None:
    """An outcome with a reason that cannot go with it would only be noise."""
    metrics = make_metrics()
    (family,) = (f for f in metrics.registry.collect() if f.name == "tirelessd_attempts")

    pairs = {(sample.labels["outcome"], sample.labels["reason"]) for sample in family.samples}

    assert pairs == {(str(outcome), str(reason)) for outcome, reason in labels.ATTEMPT_PAIRS}


def test_ends_of_unconfigured_items_are_there() -> None:
    """Items of a queue that was taken out of the configuration still expire and are purged."""
    metrics = make_metrics()

    for reason in labels.DEAD_REASONS:
        assert value(metrics, "items_dead_total", queue=UNCONFIGURED, reason=reason) == 0
    for source in labels.PURGE_SOURCES:
        assert value(metrics, "dead_items_purged_total", queue=UNCONFIGURED, source=source) == 0


def test_configuration_is_shown() -> None:
    """What a queue was given stands beside what it uses."""
    metrics = make_metrics(
        QueueConfig("work", slots=7, capacity_items=50, attempt_timeout_seconds=12.5)
    )

    assert value(metrics, "slots", queue="work") == 7
    assert value(metrics, "queue_capacity_items", queue="work") == 50
    assert value(metrics, "attempt_timeout_seconds", queue="work") == 12.5


def test_who_runs_is_shown() -> None:
    """Versions, configuration and names of a mixed fleet can be told apart."""
    metrics = make_metrics()

    assert value(metrics, "config_info", hash="abcd") == 1
    assert value(metrics, "metrics_schema_info", schema="1") == 1
    assert any(
        name == "tirelessd_build_info" and ("version", "1.2.3") in sample_labels
        for name, sample_labels in series(metrics)
    )


def test_the_process_is_shown() -> None:
    """Memory, CPU and the garbage collector come under the names that everybody uses."""
    names = {name for name, _ in series(make_metrics())}

    assert {"process_resident_memory_bytes", "python_info"} <= names
    assert "python_gc_collections_total" in names


# --- laws --------------------------------------------------------------------------------------


def own_families(metrics: Metrics) -> Mapping[str, str]:
    """tirelessd's families by name, with their help."""
    return {
        family.name: family.documentation
        for family in metrics.registry.collect()
        if family.name.startswith("tirelessd_")
    }


def test_every_family_has_help() -> None:
    """A sentence for whoever meets the name first."""
    for name, text in own_families(make_metrics()).items():
        assert text.endswith("."), name


def test_units_are_base_units() -> None:
    """Seconds and bytes: whoever reads a panel need not ask."""
    for name in own_families(make_metrics()):
        assert not name.endswith(("_ms", "_milliseconds", "_kb", "_mb", "_minutes")), name


def test_no_label_tells_the_pod() -> None:
    """Prometheus knows whom it scrapes; a label from inside would double every series."""
    names = {name for _, sample_labels in series(make_metrics()) for name, _ in sample_labels}

    assert not names & {"pod", "host", "hostname", "instance", "pid", "node"}


def test_there_are_no_created_series() -> None:
    """They would be a quarter more series, which nobody asks for."""
    assert not [name for name, _ in series(make_metrics()) if name.endswith("_created")]


def test_the_budget_of_series_is_kept() -> None:
    """Twenty queues stay within what a scrape may have, and so does each further one."""
    few = len(series(make_metrics(*(QueueConfig(f"queue-{n}") for n in range(19)))))
    many = len(series(make_metrics(*(QueueConfig(f"queue-{n}") for n in range(20)))))

    assert many <= FIXED_SERIES_MAX + 20 * QUEUE_SERIES_MAX
    assert many - few <= QUEUE_SERIES_MAX


@pytest.mark.parametrize("name", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_multiprocess_mode_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the variable, before anything runs with half of the metrics."""
    monkeypatch.setenv(name, "/anywhere")

    with pytest.raises(StartError, match=name):
        make_metrics()


@given(st.lists(st.sampled_from(EXAMPLES)), st.randoms(use_true_random=False))
def test_names_that_nobody_configured_make_no_series(
    seen: list[Event], source: random.Random
) -> None:
    """However many queue names, store verbs and task names come along."""
    metrics = make_metrics()
    for event in EXAMPLES:
        metrics(renamed(event, UNCONFIGURED))
    before = set(series(metrics))

    for event in seen:
        metrics(renamed(event, f"name-{source.randrange(10**9)}"))

    assert set(series(metrics)) == before


def renamed(event: Event, name: str) -> Event:
    """The event with another queue, verb or task."""
    fields = {"queue", "operation"} & set(event.__struct_fields__)
    if isinstance(event, BackgroundTaskFailed):
        fields.add("task")
    return msgspec.structs.replace(event, **dict.fromkeys(fields, name))


def test_what_no_set_foresees_is_counted_as_a_defect() -> None:
    """A verb that the store should not have is seen at once, under one word."""
    metrics = make_metrics()

    metrics(StoreOperationFinished("guess", 0.1, "cosmic"))

    where = {"metric": "tirelessd_store_errors", "label": "kind"}
    assert value(metrics, "metric_label_overflow_total", **where) == 1
    assert (
        value(
            metrics,
            "store_errors_total",
            backend="sqlite",
            operation=labels.OVERFLOW,
            kind=labels.OVERFLOW,
        )
        == 1
    )


def test_an_unconfigured_queue_counts_under_one_word() -> None:
    """Its items end like all others, and are no defect."""
    metrics = make_metrics()

    metrics(ItemDied("removed", "item-1", 2, 9.0, DeadReason.EXPIRED, None))

    assert value(metrics, "items_dead_total", queue=UNCONFIGURED, reason="expired") == 1
    assert value(metrics, "item_attempts_count", queue=UNCONFIGURED, outcome="dead") == 1
    assert not [name for name, _ in series(metrics) if "overflow" in name]


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

    metrics(BackgroundTaskSucceeded("purge", 10.0))

    name = "background_task_last_success_timestamp_seconds"
    assert value(metrics, name, task="purge") == 1_000.0
    assert value(metrics, "background_task_interval_seconds", task="purge") == 10.0


def test_tasks_count_by_kind() -> None:
    """A slot's task carries a queue and a number in its name, which are no label."""
    metrics = make_metrics()

    metrics(BackgroundTaskFailed("slot work 17", RuntimeError("boom"), 1))

    assert value(metrics, "background_task_failures_total", task="slot") == 1


# --- readings ----------------------------------------------------------------------------------


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
        last_claim_at=1_000.0,
        last_progress_at=999.0,
    )

    metrics.see_pools({"work": pool, "unknown": pool})

    assert value(metrics, "slots_busy", queue="work") == 3
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
