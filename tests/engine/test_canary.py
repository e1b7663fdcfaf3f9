"""The canary goes the whole way and leaves nothing behind, in the books or in the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.engine.script import FAST_RETRY, BreakableStore, House
from tests.store.shelf import succeed
from tests.waiting import wait_until
from tirelessd.core.clock import SystemClock
from tirelessd.core.errors import UnknownQueue
from tirelessd.core.events import (
    BackgroundRoundsStarted,
    CanaryFailed,
    CanarySucceeded,
    ClaimFinished,
    Event,
    ItemSucceeded,
    LifecycleChanged,
    StoreHealed,
)
from tirelessd.core.item import NewItem, Selection, ShownState
from tirelessd.core.queue import CANARY, QueueConfig, Retention
from tirelessd.engine import canary
from tirelessd.engine.intake import Submission
from tirelessd.store.base import Claimed

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
        BackgroundRoundsStarted, 1, lambda event: event.task == "canary"
    )
    assert all(0 < event.round_trip_seconds < OFTEN_SECONDS for event in came)
    assert rounds[0].interval_seconds == OFTEN_SECONDS
    assert of_items(house.recorder.events) == []


async def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ended is deleted, once nobody can want to know how."""
    briefly = Retention(succeeded_seconds=OFTEN_SECONDS, dead_seconds=OFTEN_SECONDS)
    monkeypatch.setattr(canary, "QUEUE", msgspec.structs.replace(canary.QUEUE, retention=briefly))
    house = await House(tmp_path / "store.db", [], canary_interval_seconds=OFTEN_SECONDS).start()
    gone = await house.recorder.wait_for(CanarySucceeded, 4)

    left = (await left_in_store(house)).get(ShownState.SUCCEEDED, 0)
    await house.crash()
    assert left < len(gone)


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

    async def are_all_ended() -> bool:
        left = await left_in_store(house)
        return not any(left.get(state, 0) for state in UNFINISHED)

    await wait_until(are_all_ended, 10)


class RobbedStore(BreakableStore):
    """A store whose canaries another process claims, just before this one does."""

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, recovered: int = 0
    ) -> Claimed:
        """What is left."""
        if queue == CANARY:
            await self.rob()
        return await super().claim(queue, limit, lease_seconds, recovered=recovered)

    async def rob(self) -> int:
        """Do as the other process does; how many it found."""
        found = await super().claim(CANARY, 10, 30.0)
        await self.settle([succeed(claim) for claim in found.claims])
        return len(found.claims)


class RobbedHouse(House):
    """An engine on such a store."""

    store: RobbedStore

    def make_store(self, clock: SystemClock) -> RobbedStore:
        """The store."""
        return RobbedStore(self.path, clock=clock, emit=self.recorder)


@pytest.fixture
async def robbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RobbedHouse]:
    """An engine that has time to look for its canary, and looks often."""
    monkeypatch.setattr(canary, "LOOK_SECONDS", OFTEN_SECONDS)
    house = RobbedHouse(tmp_path / "store.db", [], canary_interval_seconds=4 * OFTEN_SECONDS)
    await house.start()
    yield house
    await house.crash()


async def test_one_that_another_process_took_came_through(robbed: RobbedHouse) -> None:
    """It says nothing bad of this one, and the store knows how long it took."""
    (came,) = await robbed.recorder.wait_for(CanarySucceeded)

    assert 0 < came.round_trip_seconds < OFTEN_SECONDS
    assert robbed.recorder.of(CanaryFailed) == []


async def test_helpful_neighbours_hide_no_stall(robbed: RobbedHouse) -> None:
    """Every canary is settled by another process, and this one's claims stand still."""
    await robbed.recorder.wait_for(CanarySucceeded)
    robbed.engine._every_pool[CANARY].set_paused(is_paused=True)  # noqa: SLF001  (a stall)

    async def was_helped() -> bool:
        return await robbed.store.rob() > 0

    await wait_until(was_helped, 5)
    (failed,) = await robbed.recorder.wait_for(CanaryFailed)

    assert failed.stage == "claim"


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
