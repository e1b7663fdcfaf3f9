"""Numbers point to traces that exist, where METRICS.md says so, and nowhere else."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from prometheus_client import Counter, Histogram
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry

from tests.observe.events import EXAMPLES, make_metrics
from tirelessd.core.events import AttemptFinished, Event
from tirelessd.core.outcome import Outcome
from tirelessd.core.trace import TraceContext
from tirelessd.observe.exemplars import Exemplars
from tirelessd.observe.metrics import Metrics
from tirelessd.observe.reference import EXEMPLIFIED, full_name
from tirelessd.observe.tallies import CounterFamily, HistogramFamily

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
IDS = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}
OURS = TraceContext(TRACEPARENT, is_recorded=True)
SOMEBODY_S = TraceContext(TRACEPARENT)


class Clock:
    """Stands still."""

    def wall(self) -> float:
        """An instant with a fraction."""
        return 1_800_000_000.25

    def monotonic(self) -> float:
        """The same, for it does not matter."""
        return self.wall()


def after(trace: TraceContext) -> Metrics:
    """The metrics after one of every event that can be traced."""
    metrics = make_metrics(is_traced=True)
    for event in EXAMPLES:
        metrics(traced(event, trace))
    return metrics


def traced(event: Event, trace: TraceContext) -> Event:
    """The event, somewhere in a trace if it can be."""
    return replace(event, trace=trace) if "trace" in event.__struct_fields__ else event


def exemplified(metrics: Metrics) -> set[str]:
    """The families that have an exemplar somewhere."""
    metrics.catch_up()
    return {
        full_name(family)
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.exemplar is not None
    }


def text_of(collector: Collector) -> str:
    """What a scrape of one family shows."""
    registry = CollectorRegistry()
    registry.register(collector)
    text: str = openmetrics(registry).decode()
    return text


def test_these_families_have_exemplars_and_no_others() -> None:
    """As METRICS.md says, once something of each kind has happened in a sampled span."""
    assert exemplified(after(OURS)) == set(EXEMPLIFIED)


def test_what_is_not_exported_is_not_pointed_to() -> None:
    """A span that was not sampled, or a caller's own, would be a link into nothing."""
    assert exemplified(after(SOMEBODY_S)) == set()


def test_an_exemplar_has_the_ids_the_value_and_the_time() -> None:
    """All that leads from a point on a dashboard to a trace, in the 128 characters allowed."""
    metrics = make_metrics(clock=Clock(), is_traced=True)

    metrics(AttemptFinished("work", "item-1", 1, 1, Outcome.SUCCESS, 0.2, trace=OURS))

    (exemplar,) = (
        sample.exemplar
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.exemplar is not None
    )
    assert (exemplar.labels, exemplar.value) == (IDS, 0.2)
    assert exemplar.timestamp == Clock().wall()
    assert sum(len(name) + len(text) for name, text in exemplar.labels.items()) <= 128


@pytest.mark.parametrize("value", [0.1, 0.5, 7.0])
def test_a_histogram_shows_exemplars_as_the_library_s_does(value: float) -> None:
    """In the bucket that the value falls into, edges and the last one included."""
    ours = HistogramFamily("wait_seconds", "A wait.", "seconds", [], [0.5, 1.0])
    library = Histogram("wait_seconds", "A wait.", unit="seconds", buckets=[0.5, 1], registry=None)
    exemplar = Exemplars(Clock(), is_traced=True).of(OURS, value)
    assert exemplar is not None

    ours.labels().observe(value, exemplar)
    library.observe(value, IDS)

    assert without_times(text_of(ours)) == without_times(text_of(library))


def test_a_counter_shows_exemplars_as_the_library_s_does() -> None:
    """The last one stays when what is counted next has none."""
    ours = CounterFamily("items_total", "Items.", [])
    library = Counter("items_total", "Items.", registry=None)

    ours.labels().inc(exemplar=Exemplars(Clock(), is_traced=True).of(OURS))
    ours.labels().inc()
    library.inc(exemplar=IDS)
    library.inc()

    assert without_times(text_of(ours)) == without_times(text_of(library))


def without_times(text: str) -> list[str]:
    """The lines, without when their exemplars were taken."""
    return [line.rpartition(" ")[0] if " # " in line else line for line in text.splitlines()]
