"""A store that does not work for a while: nothing is lost, everything says so, all heals itself."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, Gate, House
from tests.store.disk import FaultyDisk
from tests.store.disk import Gate as Obstacle
from tests.waiting import a_moment, wait_until
from tirelessd.core.errors import CommitPending, StoreUnavailable
from tirelessd.core.events import (
    AttemptFinished,
    ItemAccepted,
    ItemSucceeded,
    LeaseLost,
    StoreFailed,
    StoreHealed,
)
from tirelessd.core.item import State
from tirelessd.core.queue import QueueConfig


async def test_outcome_that_cannot_be_written_keeps_its_slot(house: House) -> None:
    """The attempt is settled with the same token once the store works, and is not repeated."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    item_id = await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    house.store.broken = {"all"}
    gate.opened.set()
    await house.recorder.wait_for(StoreFailed)

    assert house.engine.status().pools["work"].busy == 1
    assert (await house.record(item_id)).state is State.LEASED
    house.store.broken = set()
    await house.recorder.wait_for(ItemSucceeded)

    assert len(house.handlers["work"].calls) == 1
    assert house.engine.status().store_problem is None


async def test_claims_stop_while_outcomes_cannot_be_written(make_house: MakeHouse) -> None:
    """A daemon that cannot record what it did does no more of it."""
    house = await make_house(QueueConfig("work", slots=2, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    house.store.broken = {"settle", "probe"}
    gate.opened.set()
    await house.recorder.wait_for(StoreFailed)

    waiting = await house.submit(b"b")
    house.store.broken |= {"enqueue"}
    with pytest.raises(StoreUnavailable):
        await house.submit(b"c")
    house.store.broken = set()
    await house.recorder.wait_for(ItemSucceeded, 2)

    assert (await house.record(waiting)).state is State.SUCCEEDED


async def test_refused_intake_costs_no_place(make_house: MakeHouse) -> None:
    """A submission that the store refused leaves the queue's capacity as it was."""
    house = await make_house(QueueConfig("work", capacity_items=1, retry=FAST_RETRY))
    house.store.broken = {"enqueue"}
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await house.submit(b"a")

    house.store.broken = set()
    await house.submit(b"a")

    await house.recorder.wait_for(ItemSucceeded)


async def test_probe_finds_and_heals_a_store_that_nobody_uses(house: House) -> None:
    """An idle daemon notices a broken store, is unready, and ready again when it is mended."""
    house.store.broken = {"all"}

    async def is_unready() -> bool:
        return "as the test wants it" in house.engine.health().failing.get("store", "")

    # A write that was under way when the store broke may end well after the first that did not.
    await wait_until(is_unready, 10)
    failures = len(house.recorder.of(StoreFailed))

    house.store.broken = set()
    await house.recorder.wait_for(StoreHealed, failures)

    assert house.engine.health().failing == {}


async def test_claim_that_fails_is_tried_again(house: House) -> None:
    """Items that wait are claimed as soon as claims work."""
    await house.engine.desk.pause("work", None)
    await house.submit(b"a")
    house.store.broken = {"claim"}
    await house.engine.desk.resume("work")
    await house.recorder.wait_for(StoreFailed)

    house.store.broken = set()

    await house.recorder.wait_for(ItemSucceeded)


async def test_renewal_that_fails_ends_no_attempt(make_house: MakeHouse) -> None:
    """Not being able to renew is no refusal: the attempt goes on."""
    house = await make_house(QueueConfig("work", lease_seconds=0.06, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    house.store.broken = {"renew"}

    async def has_tried() -> bool:
        return house.store.refused["renew"] >= 2

    await wait_until(has_tried, 10)
    house.store.broken = set()
    gate.opened.set()
    await house.recorder.wait_for(ItemSucceeded)

    assert house.recorder.of(LeaseLost) == []


async def test_refused_renewal_ends_the_attempt(make_house: MakeHouse) -> None:
    """Whoever lost its lease stops working on the item, settles nothing and counts no attempt."""
    house = await make_house(QueueConfig("work", lease_seconds=0.06, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    (attempt,) = house.engine._pools["work"].attempts()  # noqa: SLF001  (the only way to its lease)

    await house.store.release((attempt.claim.lease,))
    await house.recorder.wait_for(LeaseLost)
    house.engine._pools["work"].expect(0.0)  # noqa: SLF001  (as other processes' items, it is polled)
    await house.recorder.wait_for(ItemSucceeded)

    assert len(house.recorder.of(AttemptFinished)) == 1
    assert [number for _, number in house.handlers["work"].calls] == [1, 1]


async def test_drain_with_a_broken_store_ends_in_bounded_time(house: House) -> None:
    """What can be neither settled nor released is abandoned, and said so; the restart finds it."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    item_id = await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    house.store.broken = {"all"}

    house.engine.begin_drain()
    counts = await house.engine.drain(0.05)
    assert counts["abandoned"] == 1
    house.store.broken = set()
    await house.crash()

    await house.start()
    await house.recorder.wait_for(ItemSucceeded)
    assert (await house.record(item_id)).history[0].reason == "lease_lost"


async def test_rounds_go_on_after_an_outage(house: House) -> None:
    """Items that fell due, expired or were paused during an outage are seen to afterwards."""
    house.store.broken = {"all"}
    await house.recorder.wait_for(StoreFailed)
    house.store.broken = set()
    await house.recorder.wait_for(StoreHealed)

    item_id = await house.submit(b"late", delay_seconds=60, deadline_seconds=0.05)
    await a_moment(0.1)

    assert (await house.record(item_id)).state is State.QUEUED


async def test_submission_that_the_disk_keeps_waiting_is_booked_when_it_answers(
    make_house: MakeHouse,
) -> None:
    """Its caller hears "unknown" in time; the item runs, is counted, and takes a single place."""
    with FaultyDisk() as disk:
        house = await make_house(QueueConfig("work", slots=2, capacity_items=2, retry=FAST_RETRY))
        obstacle = Obstacle()
        disk.rule = lambda call, _name: obstacle.wait() if call == "sync" else None
        with pytest.raises(CommitPending):
            await house.submit(b"a")
        problem = house.engine.status().store_problem
        with pytest.raises(StoreUnavailable):
            await house.submit(b"b")

        obstacle.open()
        await house.recorder.wait_for(ItemSucceeded)
        await house.recorder.wait_for(StoreHealed)
        await house.submit(b"c")

        assert problem is not None
        assert len(house.recorder.of(ItemAccepted)) == 2
        await house.stop()
