"""How items reach slots: hand-off, refill, claim, in order, and not while paused."""

from __future__ import annotations

import asyncio

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, Gate, House
from tirelessd.core.decision import Complete
from tirelessd.core.events import ClaimFinished, ItemAccepted, ItemClaimed, ItemSucceeded
from tirelessd.core.item import Context, Item, NewItem, ShownState, State
from tirelessd.core.queue import QueueConfig


async def test_idle_slot_gets_the_item_with_its_commit(house: House) -> None:
    """An item that is due while a slot is free is stored leased: no claim is needed."""
    await house.recorder.wait_for(ClaimFinished)
    claims = len(house.recorder.of(ClaimFinished))

    await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    assert house.recorder.of(ItemAccepted)[0].is_handed_off
    assert house.recorder.of(ItemClaimed)[0].is_handed_off
    assert len(house.recorder.of(ClaimFinished)) == claims


async def test_no_hand_off_overtakes_a_ready_item(make_house: MakeHouse) -> None:
    """While an older item is due, a new one waits its turn."""
    house = await make_house(QueueConfig("work", slots=1, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"first", gate)
    for payload in (b"first", b"second", b"third"):
        await house.submit(payload)
    await asyncio.wait_for(gate.reached.wait(), 10)

    gate.opened.set()
    await house.recorder.wait_for(ItemSucceeded, 3)

    assert [payload for payload, _ in house.handlers["work"].calls] == [
        b"first",
        b"second",
        b"third",
    ]


async def test_priority_goes_first_then_due_time(make_house: MakeHouse) -> None:
    """Waiting items start by priority, nine first, and within one by due time."""
    house = await make_house(QueueConfig("work", slots=1, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"blocker", gate)
    await house.submit(b"blocker")
    await asyncio.wait_for(gate.reached.wait(), 10)
    for payload, priority in ((b"low", 0), (b"normal", 4), (b"normal too", 4), (b"high", 9)):
        await house.submit(payload, priority=priority)

    gate.opened.set()
    await house.recorder.wait_for(ItemSucceeded, 5)

    order = [payload for payload, _ in house.handlers["work"].calls]
    assert order == [b"blocker", b"high", b"normal", b"normal too", b"low"]


async def test_delayed_item_is_tried_when_it_falls_due(house: House) -> None:
    """A delay is waited for in the store, without a slot, and then acted on by itself."""
    item_id = await house.submit(b"later", delay_seconds=0.3)
    before = await house.record(item_id)

    await house.recorder.wait_for(ItemSucceeded)

    assert before.shown_state is ShownState.SCHEDULED
    assert house.recorder.of(ItemClaimed)[0].waited_seconds >= 0


async def test_pause_stops_new_attempts_and_resume_starts_them(house: House) -> None:
    """A paused queue accepts, starts nothing, and goes on where it stood."""
    await house.engine.desk.pause("work", None)

    item_id = await house.submit(b"a")
    view = await house.engine.desk.item(item_id)
    assert (view.record.state, view.waiting_for) == (State.QUEUED, "paused")
    assert house.handlers["work"].calls == []

    await house.engine.desk.resume("work")
    await house.recorder.wait_for(ItemSucceeded)


async def test_pause_that_expires_ends_by_itself(house: House) -> None:
    """A pause with an end needs nobody to lift it."""
    await house.engine.desk.pause("work", 0.3)

    await house.submit(b"a")

    await house.recorder.wait_for(ItemSucceeded)


async def test_pause_survives_a_restart(house: House) -> None:
    """A pause is a stored row."""
    await house.engine.desk.pause("work", None)
    await house.crash()

    await house.start()

    assert (await house.engine.desk.queue("work")).pause is not None
    item_id = await house.submit(b"a")
    assert (await house.record(item_id)).state is State.QUEUED


async def test_freed_slot_takes_the_next_item_in_the_same_commit(make_house: MakeHouse) -> None:
    """With a backlog the settlement of one item brings the next along: few claims, all items."""
    house = await make_house(QueueConfig("work", slots=2, retry=FAST_RETRY))
    gates = [Gate(), Gate()]
    for n, gate in enumerate(gates):
        house.handlers["work"].script(b"gate %d" % n, gate)
        await house.submit(b"gate %d" % n)
        await asyncio.wait_for(gate.reached.wait(), 10)
    for n in range(50):
        await house.submit(b"%d" % n)
    claims = len(house.recorder.of(ClaimFinished))

    for gate in gates:
        gate.opened.set()
    await house.recorder.wait_for(ItemSucceeded, 52)

    assert len(house.recorder.of(ClaimFinished)) - claims <= 4


async def test_every_item_of_a_burst_ends_once(make_house: MakeHouse) -> None:
    """Five hundred items accepted at once run once each, on eight slots."""
    house = await make_house(QueueConfig("work", slots=8, retry=FAST_RETRY))

    await asyncio.gather(*(house.submit(b"%d" % n) for n in range(500)))
    await house.recorder.wait_for(ItemSucceeded, 500)

    assert len(house.handlers["work"].calls) == 500
    assert len({payload for payload, _ in house.handlers["work"].calls}) == 500


async def test_handler_may_submit_to_its_own_queue(make_house: MakeHouse) -> None:
    """An attempt that submits an item does not wait for its own slot."""
    house = await make_house(QueueConfig("work", slots=1, retry=FAST_RETRY))

    async def submit_child(item: Item, context: Context) -> Complete:
        await house.submit(b"child")
        return Complete()

    house.handlers["work"].script(b"parent", submit_child)
    await house.submit(b"parent")

    await house.recorder.wait_for(ItemSucceeded, 2)


async def test_item_that_somebody_else_stored_is_found_by_looking(house: House) -> None:
    """Others may share the store and announce nothing: an idle pool looks now and then."""
    house.store.poll_seconds = 0.01
    await house.submit(b"wakes the pool, which then waits no longer than that")
    await house.recorder.wait_for(ItemSucceeded)

    await house.store.enqueue([NewItem("elsewhere", "work", b"", "text/plain", 60.0)])

    await house.recorder.wait_for(ItemSucceeded, 2)
    assert (await house.record("elsewhere")).state is State.SUCCEEDED
