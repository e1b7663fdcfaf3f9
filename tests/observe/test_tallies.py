"""The counters and histograms of our own show what prometheus_client's show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector

from tests.observe.events import make_metrics
from tirelessd.observe.tallies import MANY, CounterFamily, HistogramFamily

BOUNDS = st.lists(st.floats(0.001, 1e6, allow_nan=False), min_size=1, max_size=20, unique=True).map(
    sorted
)
VALUES = st.lists(st.floats(0, 1e7, allow_nan=False))


@pytest.fixture(autouse=True, scope="module")
def no_created_series() -> None:
    """As the daemon has it: making metrics switches the `_created` series off."""
    make_metrics()


def text_of(collector: Collector) -> str:
    """What a scrape of one family shows."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


@given(BOUNDS, VALUES)
def test_a_histogram_shows_what_the_library_s_shows(
    bounds: list[float], values: list[float]
) -> None:
    """Whatever the bounds and values, edges included: the same buckets, count and sum."""
    ours = HistogramFamily("wait_seconds", "A wait.", "seconds", ["queue"], bounds)
    library = Histogram(
        "wait_seconds", "A wait.", ["queue"], unit="seconds", buckets=bounds, registry=None
    )

    for value in (*values, *bounds):
        ours.labels("work").observe(value)
        library.labels("work").observe(value)

    assert text_of(ours) == text_of(library)


@given(BOUNDS, st.lists(st.floats(0, 1e7, allow_nan=False), min_size=MANY, max_size=2 * MANY))
def test_many_values_fall_as_each_would_alone(bounds: list[float], values: list[float]) -> None:
    """Sorted or one by one, a value counts under the same bound, edges included."""
    together = HistogramFamily("wait_seconds", "A wait.", "seconds", [], bounds).labels()
    alone = HistogramFamily("wait_seconds", "A wait.", "seconds", [], bounds).labels()

    together.observe_all([*values, *bounds])
    for value in (*values, *bounds):
        alone.observe(value)

    *buckets, total = together.values()
    *expected, total_expected = alone.values()
    assert buckets == expected
    assert total == pytest.approx(total_expected)


@given(st.lists(st.integers(0, 1000)))
def test_a_counter_shows_what_the_library_s_shows(amounts: list[int]) -> None:
    """Whatever was added: the same sample under the same name."""
    ours = CounterFamily("items_total", "Items.", ["queue"])
    library = Counter("items_total", "Items.", ["queue"], registry=None)

    for amount in (0, *amounts):
        ours.labels("work").inc(amount)
        library.labels("work").inc(amount)

    assert text_of(ours) == text_of(library)


def test_a_registry_refuses_a_second_family_of_one_name() -> None:
    """As with the library's own, a name that two families share is an error at once."""
    registry = CollectorRegistry()
    registry.register(CounterFamily("items_total", "Items.", []))

    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(CounterFamily("items_total", "Items again.", []))


def test_a_wrong_number_of_labels_is_refused() -> None:
    """A child has a value for each label of its family, no more and no fewer."""
    family = CounterFamily("items_total", "Items.", ["queue", "reason"])

    with pytest.raises(ValueError, match="shorter"):
        family.labels("work")
