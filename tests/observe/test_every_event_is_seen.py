"""No event is overlooked: each changes a metric or says why not, and has a line or says why not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.observe.events import (
    EXAMPLES,
    CountingTally,
    ManualClock,
    event_classes,
    make_metrics,
    series,
)
from tirelessd.core.events import Event
from tirelessd.observe.event_log import UNLOGGED, EventLog
from tirelessd.observe.logs import Logs
from tirelessd.observe.metrics import UNSEEN


@pytest.fixture
def logs() -> Iterator[Logs]:
    """A log that goes nowhere."""
    with Path(os.devnull).open("w", encoding="utf-8") as stream:
        logs = Logs(
            level="debug",
            format="json",
            version="0",
            clock=ManualClock(),
            tally=CountingTally(),
            stream=stream,
        )
        yield logs
        logs.close()


def test_there_is_an_example_of_every_event() -> None:
    """The tests of this folder speak about all events, so no example may be missing."""
    assert {type(event) for event in EXAMPLES} == set(event_classes())


def test_every_event_changes_a_metric_or_says_why_not() -> None:
    """What is handled and what is ignored make up all events, and share none."""
    seen = make_metrics(backend="postgresql").seen

    assert seen | set(UNSEEN) == set(event_classes())
    assert not seen & set(UNSEEN)


def test_every_event_has_a_line_or_says_why_not(logs: Logs) -> None:
    """The same for the log."""
    seen = EventLog(logs).seen

    assert seen | set(UNLOGGED) == set(event_classes())
    assert not seen & set(UNLOGGED)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_metrics_do_what_their_table_says(event: Event) -> None:
    """A handled event changes some series; an ignored one changes none."""
    metrics = make_metrics(backend="postgresql")
    before = own(series(metrics))

    metrics(event)

    assert (own(series(metrics)) != before) == (type(event) in metrics.seen)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_no_event_makes_a_series(event: Event) -> None:
    """Every legal series is there from the start, so that `increase()` sees the first event."""
    metrics = make_metrics(backend="postgresql")
    before = set(own(series(metrics)))

    metrics(event)

    assert set(own(series(metrics))) == before


def own(samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> dict[object, float]:
    """tirelessd's own series, without those of the process."""
    return {key: value for key, value in samples.items() if key[0].startswith("tirelessd_")}
