"""Places in a queue, and the advice when there are none."""

from __future__ import annotations

from tirelessd.core.queue import QueueConfig
from tirelessd.engine.capacity import RETRY_AFTER_CAP_SECONDS, Capacity


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
