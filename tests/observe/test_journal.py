"""Events are kept for a moment: counted together, each once, in their order, and never too many."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.observe.events import make_metrics
from tirelessd.core.events import (
    Event,
    IntakeRequestFinished,
    ItemAccepted,
    LoopLagMeasured,
    StoreOperationFinished,
)
from tirelessd.observe.dispatch import See
from tirelessd.observe.journal import ROOM, Journal
from tirelessd.observe.metrics import Metrics

ACCEPTED = ItemAccepted("work", "item-1", 512, is_handed_off=True)
LAGS = [LoopLagMeasured(float(number)) for number in range(2 * ROOM + 3)]


class Counted:
    """Remembers what it was given to count."""

    def __init__(self) -> None:
        self.groups: list[list[LoopLagMeasured]] = []
        self.is_broken = False

    def __call__(self, events: Sequence[LoopLagMeasured]) -> None:
        """Count them, or fail."""
        if self.is_broken:
            raise ArithmeticError("a defect")
        self.groups.append(list(events))


@pytest.fixture
def counted() -> Counted:
    """What a page counts with."""
    return Counted()


def write(see: See, events: Sequence[LoopLagMeasured]) -> None:
    """Let the page see events."""
    for event in events:
        see(event)


def test_full_pages_are_counted_and_others_wait(counted: Counted) -> None:
    """Where somebody says that many events have come, so that no more than a few pages are kept."""
    journal = Journal()
    see = journal.page(counted)

    write(see, LAGS[: ROOM - 1])
    journal.count_full()
    write(see, LAGS[ROOM - 1 : ROOM + 2])
    journal.count_full()
    journal.count_full()

    assert [len(group) for group in counted.groups] == [ROOM + 2]


def test_everything_is_counted_once_and_in_order(counted: Counted) -> None:
    """Pages, what is left over, and nothing twice when one catches up again."""
    journal = Journal()
    write(journal.page(counted), LAGS)

    journal.catch_up()
    journal.catch_up()

    assert [event for group in counted.groups for event in group] == LAGS
    assert all(counted.groups)


def test_with_room_for_one_each_event_is_counted_at_once(counted: Counted) -> None:
    """As it must be where the time of counting is shown."""
    see = Journal(room=1).page(counted)

    write(see, LAGS[:3])

    assert counted.groups == [[lag] for lag in LAGS[:3]]


def test_what_cannot_be_counted_does_not_come_again(counted: Counted) -> None:
    """Or one defect would fail each later scrape, and keep events for ever."""
    journal = Journal()
    write(journal.page(counted), LAGS[:2])
    counted.is_broken = True
    with pytest.raises(ArithmeticError, match="a defect"):
        journal.catch_up()
    counted.is_broken = False

    journal.catch_up()

    assert counted.groups == []


def test_counters_show_what_came_before_they_caught_up() -> None:
    """The daemon does so before each scrape; until then an item's events wait."""
    metrics = make_metrics()
    metrics(ACCEPTED)
    before = shown(metrics, "items_accepted_total", queue="work")

    metrics.catch_up()

    assert (before, shown(metrics, "items_accepted_total", queue="work")) == (0, 1)


@pytest.mark.parametrize(
    "event",
    [
        StoreOperationFinished("enqueue", 0.001),
        IntakeRequestFinished("unauthorized", 401, 0.001),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_is_kept_is_bounded(event: Event) -> None:
    """Items come with a commit; what is refused has none, and may come in floods all the same."""
    metrics = make_metrics()
    for _ in range(ROOM):
        metrics(ACCEPTED)

    metrics(event)

    assert shown(metrics, "items_accepted_total", queue="work") == ROOM


def shown(metrics: Metrics, name: str, **labels: str) -> float | None:
    """What a scrape would show if nobody caught up."""
    return metrics.registry.get_sample_value(f"tirelessd_{name}", labels)
