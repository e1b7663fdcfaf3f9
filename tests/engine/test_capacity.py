"""Places in a queue, and the advice when there are none."""

from __future__ import annotations

import pytest

from tirelessd.core.item import ShownState
from tirelessd.core.queue import QueueConfig
from tirelessd.engine.capacity import RETRY_AFTER_CAP_SECONDS, Capacity
from tirelessd.store.base import QueueSnapshot


def counted(items: int) -> dict[str, QueueSnapshot]:
    """What the store says of the queue."""
    return {"work": QueueSnapshot({ShownState.READY: items}, 0.0, {})}


async def test_places_are_granted_up_to_the_capacity() -> None:
    """What is asked for beyond the free places is not granted."""
    capacity = Capacity([QueueConfig("work", capacity_items=5)])

    granted = [
        capacity.reserve("work", 3),
        capacity.reserve("work", 3),
        capacity.reserve("work", 1),
    ]

    assert granted == [3, 2, 0]


async def test_returned_and_ended_places_are_free_again() -> None:
    """A failed commit and a finished item both make room."""
    capacity = Capacity([QueueConfig("work", capacity_items=2)])
    capacity.reserve("work", 2)

    capacity.conclude("work", 2, 1)
    capacity.end("work")

    assert capacity.reserve("work", 2) == 2


async def test_zero_means_unlimited() -> None:
    """A queue without a capacity takes everything."""
    capacity = Capacity([QueueConfig("work", capacity_items=0)])

    assert capacity.reserve("work", 10_000_000) == 10_000_000
    assert capacity.retry_after_seconds("work") == 1


async def test_redrive_may_exceed_the_capacity() -> None:
    """What an operator puts back is counted, and nothing new comes in until it has shrunk."""
    capacity = Capacity([QueueConfig("work", capacity_items=2)])
    capacity.add("work", 5)

    assert capacity.reserve("work", 1) == 0
    assert capacity.held("work") == 5


async def test_full_queue_that_stands_still_asks_for_patience() -> None:
    """Without any end in sight a caller is told the longest wait."""
    capacity = Capacity([QueueConfig("work", capacity_items=1)])
    capacity.reserve("work", 1)

    assert capacity.retry_after_seconds("work") == RETRY_AFTER_CAP_SECONDS


async def test_full_queue_that_drains_tells_how_long_a_place_takes() -> None:
    """At thirty ends in the window a place is free every second."""
    capacity = Capacity([QueueConfig("work", capacity_items=10)])
    capacity.reserve("work", 10)
    for _ in range(30):
        capacity.end("work")
        capacity.reserve("work", 1)

    assert capacity.retry_after_seconds("work") == 1


async def test_unknown_queues_cost_nothing() -> None:
    """Items of a queue that is no longer configured end without being counted."""
    capacity = Capacity([QueueConfig("work")])

    capacity.end("gone")
    capacity.add("gone", 3)

    assert capacity.retry_after_seconds("gone") == 1


@pytest.mark.parametrize("is_shared", [False, True])
async def test_count_of_the_store_is_adopted(*, is_shared: bool) -> None:
    """While nothing happens here, it knows best."""
    capacity = Capacity([QueueConfig("work", capacity_items=5)])

    capacity.adopt(counted(4), capacity.mark(), is_shared=is_shared)

    assert capacity.held("work") == 4


async def test_count_that_time_has_passed_over_is_not_adopted() -> None:
    """Whoever has the store to himself knows exactly what has come since."""
    capacity = Capacity([QueueConfig("work", capacity_items=5)])
    mark = capacity.mark()
    capacity.reserve("work", 2)
    during = capacity.held("work")

    capacity.adopt(counted(0), mark, is_shared=False)
    capacity.conclude("work", 2, 2)
    capacity.adopt(counted(0), mark, is_shared=False)

    assert (during, capacity.held("work")) == (2, 2)


async def test_count_of_a_shared_store_is_adopted_whatever_happens_here() -> None:
    """What others have ended or accepted counts, and what has come here since, too."""
    capacity = Capacity([QueueConfig("work", capacity_items=100)])
    capacity.conclude("work", capacity.reserve("work", 90), 90)
    mark = capacity.mark()
    capacity.reserve("work", 2)

    capacity.adopt(counted(7), mark, is_shared=True)

    assert capacity.held("work") == 9
