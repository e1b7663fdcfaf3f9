"""The canary goes the whole way and leaves nothing behind, in the books or in the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.script import FAST_RETRY, House
from tests.waiting import wait_until
from tirelessd.core.errors import UnknownQueue
from tirelessd.core.events import (
    BackgroundTaskSucceeded,
    CanaryFailed,
    CanarySucceeded,
    ClaimFinished,
    Event,
    ItemSucceeded,
    LifecycleChanged,
    StoreHealed,
)
from tirelessd.core.item import NewItem, Selection, ShownState
from tirelessd.core.queue import CANARY, QueueConfig
from tirelessd.engine.intake import Submission

OFTEN_SECONDS = 0.2
UNFINISHED = (ShownState.READY, ShownState.SCHEDULED, ShownState.RUNNING)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An engine whose canary is sent five times a second; a test stops it by itself."""
    queues = [QueueConfig("work", slots=2, retry=FAST_RETRY)]
    house = House(tmp_path / "store.db", queues, canary_interval_seconds=OFTEN_SECONDS)
    await house.start()
    yield house
    await house.crash()


def of_items(events: list[Event]) -> list[Event]:
    """The events that are about items or queues, but for the claims that found nothing."""
    return [
        event
        for event in events
        if getattr(event, "queue", None) is not None and not isinstance(event, ClaimFinished)
    ]


async def left_in_store(house: House) -> dict[ShownState, int]:
    """Canaries in the store, per state that has any."""
    taken = await house.store.snapshot([CANARY])
    return {state: count for state, count in taken.queues[CANARY].counts.items() if count}


async def test_a_canary_goes_the_whole_way(house: House) -> None:
    """It is timed, its round is told with the interval, and nobody counts it as an item."""
    came = await house.recorder.wait_for(CanarySucceeded, 3)

    rounds = await house.recorder.wait_for(
        BackgroundTaskSucceeded, 1, lambda event: event.task == "canary"
    )
    assert all(0 < event.round_trip_seconds < OFTEN_SECONDS for event in came)
    assert rounds[0].interval_seconds == OFTEN_SECONDS
    assert of_items(house.recorder.events) == []


async def test_nothing_is_left_of_it(house: House) -> None:
    """What has ended is deleted at once."""
    await house.recorder.wait_for(BackgroundTaskSucceeded, 2, lambda event: event.task == "canary")

    async def is_gone() -> bool:
        return not await left_in_store(house)

    await wait_until(is_gone, 5)


async def test_callers_cannot_see_or_use_its_queue(house: House) -> None:
    """It is in no list, has no place in a queue's capacity, and takes no item of theirs."""
    await house.recorder.wait_for(CanarySucceeded)

    with pytest.raises(UnknownQueue):
        await house.engine.intake.accept(CANARY, Submission(b"", "text/plain"))
    with pytest.raises(UnknownQueue):
        await house.engine.desk.list_items(CANARY, None, None, 10)
    assert [view.config.name for view in await house.engine.desk.queues()] == ["work"]
    assert set(house.engine.status().pools) == {"work"}
    assert house.engine.intake.queue_names == ("work",)


@pytest.mark.parametrize(("verb", "stage"), [("enqueue", "intake"), ("settle", "deliver")])
async def test_a_failure_is_told_with_its_stage(house: House, verb: str, stage: str) -> None:
    """How far it came says where to look."""
    await house.recorder.wait_for(CanarySucceeded)
    house.store.broken.add(verb)

    failed = await house.recorder.wait_for(CanaryFailed, 1, lambda event: event.stage == stage)
    house.store.broken.clear()
    before = len(house.recorder.of(CanarySucceeded))
    await house.recorder.wait_for(CanarySucceeded, before + 1)

    assert failed


async def test_claims_that_stall_are_seen(house: House) -> None:
    """A canary is never handed off, so that a claim loop which does nothing is noticed."""
    await house.recorder.wait_for(CanarySucceeded)

    house.engine._every_pool[CANARY].set_paused(is_paused=True)  # noqa: SLF001  (a stall)

    assert await house.recorder.wait_for(CanaryFailed, 3, lambda event: event.stage == "claim")
    waiting = await left_in_store(house)
    assert sum(waiting.get(state, 0) for state in UNFINISHED) <= 1


async def test_an_outage_leaves_no_pile(house: House) -> None:
    """One at a time: after many failed rounds there is one canary to catch up with, or none."""
    await house.recorder.wait_for(CanarySucceeded)
    house.store.broken.update({"settle", "claim"})
    await house.recorder.wait_for(CanaryFailed, 4)

    waiting = await left_in_store(house)
    house.store.broken.clear()
    await house.recorder.wait_for(StoreHealed)

    assert sum(waiting.get(state, 0) for state in UNFINISHED) <= 1

    async def is_gone() -> bool:
        return not await left_in_store(house)

    await wait_until(is_gone, 10)


async def test_a_drain_waits_for_no_canary(house: House) -> None:
    """Its settlement cannot be written, and the drain is over all the same; nothing is counted."""
    await house.recorder.wait_for(CanarySucceeded)
    house.store.broken.add("settle")
    await house.recorder.wait_for(CanaryFailed, 1, lambda event: event.stage == "deliver")
    told = len(house.recorder.of(CanaryFailed))

    house.engine.begin_drain()
    async with asyncio.timeout(5):
        counts = await house.engine.drain(60.0)

    assert counts == {"finished": 0, "released": 0, "abandoned": 0}
    assert len(house.recorder.of(CanaryFailed)) == told


@pytest.mark.parametrize("interval_seconds", [None, OFTEN_SECONDS])
async def test_a_leftover_counts_as_nothing(tmp_path: Path, interval_seconds: float | None) -> None:
    """A crash left one leased and one waiting; the next process has heard of neither."""
    queues = [QueueConfig("work", slots=2, retry=FAST_RETRY)]
    old = House(tmp_path / "store.db", queues)
    await old.start()
    await old.store.enqueue([a_canary("a"), a_canary("b")])
    await old.store.claim(CANARY, 1, 30.0)
    await old.crash()

    new = House(tmp_path / "store.db", queues, canary_interval_seconds=interval_seconds)
    await new.start()
    item_id = await new.submit(b"x")
    await new.recorder.wait_for(ItemSucceeded)

    async def has_no_lease() -> bool:
        return not await new.store.leases()

    await wait_until(has_no_lease, 5)
    taken = await new.store.snapshot(["work", CANARY])
    dead = await new.engine.desk.list_dead(Selection(queue="work"), None, 10)
    await new.crash()
    assert {event.item_id for event in new.recorder.of(ItemSucceeded)} == {item_id}
    assert not any(taken.unconfigured.counts.values())
    assert not [e for e in of_items(new.recorder.events) if getattr(e, "queue", "") == CANARY]
    assert list(dead.items) == []
    assert new.recorder.of(LifecycleChanged)[0].state == "running"


def a_canary(item_id: str) -> NewItem:
    """An item as an earlier process's canary was."""
    return NewItem(item_id, CANARY, b"canary", "text/plain", 60.0)
