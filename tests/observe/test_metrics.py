"""Events and readings end in the families that METRICS.md promises, under closed labels."""

from __future__ import annotations

import random
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observe.events import EXAMPLES, make_metrics, series, value
from tirelessd.core.errors import StartError
from tirelessd.core.events import (
    BackgroundTaskFailed,
    Event,
    ItemDied,
    StoreOperationFinished,
)
from tirelessd.core.item import ShownState
from tirelessd.core.outcome import DeadReason, Outcome
from tirelessd.core.queue import UNCONFIGURED, UNNAMED, QueueConfig, RetryPolicy
from tirelessd.observe import labels
from tirelessd.observe.metrics import Metrics
from tirelessd.store.base import QueueSnapshot, Snapshot

FIXED_SERIES_MAX = 401
QUEUE_SERIES_MAX = 252
CANARY_SERIES_MAX = 26
DESTINATION_SERIES_MAX = 23


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
    metrics = make_metrics(QueueConfig("work", retry=RetryPolicy(retry_on=(302,))))

    number = value(metrics, "attempts_total", queue="work", outcome=outcome, reason=reason)

    assert number == 0


def test_no_other_pair_is_there() -> None:
    """An outcome with a reason that cannot go with it would only be noise."""
    metrics = make_metrics()
    (family,) = (f for f in metrics.registry.collect() if f.name == "tirelessd_attempts")

    pairs = {(sample.labels["outcome"], sample.labels["reason"]) for sample in family.samples}

    assert pairs == {(str(outcome), str(reason)) for outcome, reason in labels.ATTEMPT_PAIRS} - {
        ("retry", "http_3xx")
    }


@pytest.mark.parametrize("wish", [302, "shop.errors.Busy"])
def test_what_a_queue_wants_retried_is_there(wish: int | str) -> None:
    """Redirects are given up on, unless the queue's configuration may have them retried."""
    metrics = make_metrics(QueueConfig("work", retry=RetryPolicy(retry_on=(wish,))))

    where = {"queue": "work", "outcome": "retry", "reason": "http_3xx"}
    assert value(metrics, "attempts_total", **where) == 0


def test_ends_of_unconfigured_items_are_there() -> None:
    """Items of a queue that was taken out of the configuration still expire and are purged."""
    metrics = make_metrics()
    left = QueueSnapshot({ShownState.RETRYING: 2}, 0.0, {})

    metrics.see_store(Snapshot({}, left, 1, 1, 1), taken_at=1.0, duration_seconds=0.0)

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
    few, many = (len(series(make_metrics(*calling(n), has_canary=False))) for n in (19, 20))

    assert many <= FIXED_SERIES_MAX + 20 * QUEUE_SERIES_MAX
    assert many - few <= QUEUE_SERIES_MAX


def calling(count: int, *destinations: str) -> list[QueueConfig]:
    """Queues of the kind with the most series, the first of them with named destinations."""
    names = [*destinations, *[UNNAMED] * count][:count]
    return [
        QueueConfig(f"queue-{n}", handler_type="http", destination=name)
        for n, name in enumerate(names)
    ]


def test_what_is_switched_on_has_a_budget_of_its_own() -> None:
    """The canary, and each destination that is given a name."""
    least = len(series(make_metrics(*calling(3), has_canary=False)))

    with_canary = len(series(make_metrics(*calling(3))))
    with_names = len(series(make_metrics(*calling(3, "models", "shop"), has_canary=False)))

    assert with_canary - least <= CANARY_SERIES_MAX
    assert with_names - least <= 2 * DESTINATION_SERIES_MAX


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
