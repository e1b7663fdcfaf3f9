"""Upstreams are counted by the names that configuration gives them, of which fifty are shown."""

from __future__ import annotations

import pytest

from tests.observe.events import make_metrics, value
from tirelessd.core.events import UpstreamConnected, UpstreamRequestFinished
from tirelessd.core.queue import UNNAMED, QueueConfig
from tirelessd.observe.labels import OVERFLOW, UPSTREAM_CLASSES
from tirelessd.observe.metrics import Metrics
from tirelessd.observe.upstream_metrics import DESTINATIONS_MAX


def calling(*destinations: str) -> Metrics:
    """The metrics of a queue for each of these destinations."""
    queues = [QueueConfig(f"queue-{n}", destination=each) for n, each in enumerate(destinations)]
    return make_metrics(*queues)


@pytest.mark.parametrize(
    ("status", "code_class"),
    [
        (200, "2xx"),
        (204, "2xx"),
        (302, "3xx"),
        (404, "4xx"),
        (429, "429"),
        (500, "5xx"),
        (599, "5xx"),
        (799, "none"),
        (None, "none"),
    ],
)
def test_an_answer_has_a_class(status: int | None, code_class: str) -> None:
    """429 by itself, for it asks for patience and says nothing bad of the request."""
    metrics = calling("models")

    metrics(UpstreamRequestFinished("models", status, 0.25))

    where = {"destination": "models"}
    for each in UPSTREAM_CLASSES:
        number = value(metrics, "upstream_requests_total", **where, code_class=each)
        assert number == (each == code_class)
    assert value(metrics, "upstream_request_duration_seconds_sum", **where) == 0.25


def test_connections_are_counted_as_they_are_got() -> None:
    """How long it took, and whether it was a kept one."""
    metrics = calling("models")

    metrics(UpstreamConnected(0.5, is_reused=False))
    metrics(UpstreamConnected(0.0, is_reused=True))
    metrics(UpstreamConnected(0.0, is_reused=True))

    assert value(metrics, "upstream_connection_acquisitions_total", reused="false") == 1
    assert value(metrics, "upstream_connection_acquisitions_total", reused="true") == 2
    assert value(metrics, "upstream_connection_wait_seconds_sum") == 0.5


def test_connections_are_those_of_all_handlers() -> None:
    """Read, and so never wrong for long."""
    metrics = calling("models")

    metrics.see_connections([(2, 1), (3, 0)])

    assert value(metrics, "upstream_connections", state="active") == 5
    assert value(metrics, "upstream_connections", state="idle") == 1


def test_queues_may_share_a_destination() -> None:
    """Two that go to one place are one series."""
    metrics = calling("models", UNNAMED, "models", UNNAMED)

    shown = destinations(metrics)
    assert shown == {"models", UNNAMED}


def test_more_destinations_than_fifty_count_as_one() -> None:
    """Each of their requests is an overflow, so that an alert tells of it."""
    metrics = calling(*(f"upstream-{n}" for n in range(DESTINATIONS_MAX + 2)))
    before = destinations(metrics)

    metrics(UpstreamRequestFinished(f"upstream-{DESTINATIONS_MAX}", 200, 0.1))
    metrics(UpstreamRequestFinished(f"upstream-{DESTINATIONS_MAX + 1}", 200, 0.1))

    where = {"destination": OVERFLOW, "code_class": "2xx"}
    assert value(metrics, "upstream_requests_total", **where) == 2
    told = {"metric": "tirelessd_upstream_requests", "label": "destination"}
    assert value(metrics, "metric_label_overflow_total", **told) == 2
    assert destinations(metrics) == before
    assert len(before) == DESTINATIONS_MAX + 1


def destinations(metrics: Metrics) -> set[str]:
    """The destinations that have series."""
    return {
        sample.labels["destination"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if "destination" in sample.labels
    }
