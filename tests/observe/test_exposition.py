"""Scrapes are written faster than the library does, and say the same to the byte."""

from __future__ import annotations

from functools import partial

import pytest
from msgspec.structs import replace
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)
from prometheus_client import generate_latest as plain
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from tests.observe.events import EXAMPLES, make_metrics
from tirelessd.core.trace import TraceContext
from tirelessd.observe.exposition import Encode, Exposition

OURS = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", is_recorded=True)

FORMATS = {
    "plain": plain,
    "plain, as it is": partial(plain, escaping="allow-utf-8"),
    "openmetrics": openmetrics,
    "openmetrics, dots": partial(openmetrics, escaping="dots"),
}


@pytest.fixture(params=[*FORMATS.values()], ids=[*FORMATS])
def encode(request: pytest.FixtureRequest) -> Encode:
    """One of the formats that a scraper can ask for."""
    chosen: Encode = request.param
    return chosen


@pytest.fixture(autouse=True)
def without_creation_times() -> None:
    """As in the daemon: nobody is told when a series was made."""
    disable_created_metrics()


def wild_registry() -> CollectorRegistry:
    """What can make a line hard to write."""
    registry = CollectorRegistry()
    Gauge("wild", 'quote " slash \\ line\nend', ["path"], registry=registry).labels(
        'a"b\\c\nd é # {e} 1.0'
    ).set(float("inf"))
    Gauge("odd.name", "Dots are new in names.", registry=registry).set(float("nan"))
    Info("build", "Words.", registry=registry).info({"version": "1 2"})
    durations = Histogram("seconds", "With a unit.", unit="seconds", registry=registry)
    durations.observe(0.3, {"trace_id": "abc"})
    Counter("big", "A large one.", registry=registry).inc(123456789012)
    return registry


def test_wild_lines_are_the_library_s_own(encode: Encode) -> None:
    """Names, labels, values, exemplars and headers of every kind, the first time and later."""
    registry, exposition = wild_registry(), Exposition(encode)

    first, later = exposition.text(registry), exposition.text(registry)

    assert first == later == encode(registry)


def test_values_are_written_anew(encode: Encode) -> None:
    """What is remembered of a series is all but its value."""
    registry = CollectorRegistry()
    counter = Counter("things", "All.", ["kind"], registry=registry)
    exposition = Exposition(encode)
    counter.labels("one").inc()
    exposition.text(registry)

    counter.labels("one").inc()
    counter.labels("two").inc(7)

    assert exposition.text(registry) == encode(registry)


def test_every_family_is_written_as_the_library_would(encode: Encode) -> None:
    """All metrics of the daemon, exemplars too, after some of everything has happened."""
    metrics = make_metrics()
    for event in EXAMPLES:
        trace = {"trace": OURS} if "trace" in event.__struct_fields__ else {}
        metrics(replace(event, **trace))
    metrics.catch_up()
    exposition = Exposition(encode)
    exposition.text(metrics.registry)

    assert ours(exposition.text(metrics.registry)) == ours(encode(metrics.registry))


def ours(text: bytes) -> list[bytes]:
    """The lines without those of the process and the collector, which change as one looks."""
    # Where dots are asked for, each underscore of a name is written twice.
    restless = (b"process_", b"python_gc", b"python__gc")
    return [line for line in text.splitlines() if not line.startswith(restless)]
