"""Events are kept for a moment: counted together, each once, in their order, and never too many."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.observe.events import make_metrics, value
from tirelessd.core.events import ItemAccepted, LoopLagMeasured
from tirelessd.observe.dispatch import See
from tirelessd.observe.journal import ROOM, Journal

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


def test_a_page_is_counted_when_it_is_full(counted: Counted) -> None:
    """However many events come, no more than a page of them is ever kept."""
    see = Journal().page(counted)

    write(see, LAGS)

    assert [len(group) for group in counted.groups] == [ROOM, ROOM]


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
    metrics(ItemAccepted("work", "item-1", 512, is_handed_off=True))
    before = metrics.registry.get_sample_value("tirelessd_items_accepted_total", {"queue": "work"})

    metrics.catch_up()

    assert (before, value(metrics, "items_accepted_total", queue="work")) == (0, 1)
