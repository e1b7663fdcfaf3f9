"""The contract of the hand-off: an item stored already leased, for a slot that waits for it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.clock import START_AT
from tests.store.shelf import Shelf, Slots, accepted, ids_of, key, new_item, succeed
from tirelessd.core.errors import StoreError
from tirelessd.core.item import Claim, Item, State
from tirelessd.store.base import Accepted, Replayed


async def test_due_item_goes_straight_to_a_free_slot(shelf: Shelf) -> None:
    """It is leased in the commit that accepts it, and delivered before the caller hears of it."""
    slots, item = Slots(free=1), new_item(payload=b"x", headers={"x-tenant": "a"}, priority=2)

    [answer] = await shelf.store.enqueue([item], slots)

    [claim] = slots.claims
    record = await shelf.record(item.id)
    assert answer == Accepted(item.id, State.LEASED, is_handed_off=True, due_in_seconds=0.0)
    assert claim == Claim(
        item=Item(item.id, "work", b"x", item.content_type, item.headers, 2, START_AT),
        lease=claim.lease,
        attempt=1,
        generation=1,
        deadline_seconds=item.deadline_seconds,
    )
    assert (record.state, record.attempts) == (State.LEASED, 1)
    assert await shelf.take() == []


async def test_handed_off_item_is_settled_like_any_other(shelf: Shelf) -> None:
    """The delivered lease holds."""
    slots = Slots(free=1)
    await shelf.store.enqueue([new_item()], slots)

    held = await shelf.settle(succeed(slots.claims[0]))

    assert held == [True]


async def test_items_beyond_the_free_slots_wait(shelf: Shelf) -> None:
    """Slots go to the first items of a call; the others are queued."""
    slots, items = Slots(free=2), [new_item() for _ in range(4)]

    answers = await shelf.store.enqueue(items, slots)

    assert [accepted(answer).is_handed_off for answer in answers] == [True, True, False, False]
    assert ids_of(slots.claims) == [item.id for item in items[:2]]
    assert ids_of(await shelf.take()) == [item.id for item in items[2:]]


async def test_slots_of_one_queue_do_not_hold_up_another(shelf: Shelf) -> None:
    """A queue without a free slot takes nothing from the next item's queue."""

    class OnlyB(Slots):
        def reserve(self, queue: str) -> bool:
            return queue == "b" and super().reserve(queue)

    slots = OnlyB(free=5)

    answers = await shelf.store.enqueue([new_item("a"), new_item("b")], slots)

    assert [accepted(answer).is_handed_off for answer in answers] == [False, True]


async def test_delayed_item_is_not_handed_off(shelf: Shelf) -> None:
    """No slot is even asked for."""
    slots = Slots(free=1)

    [answer] = await shelf.store.enqueue([new_item(delay_seconds=1.0)], slots)

    assert not accepted(answer).is_handed_off
    assert (slots.free, slots.claims) == (1, [])


async def test_paused_queue_hands_nothing_off(shelf: Shelf) -> None:
    """The slot is given back and the item waits."""
    slots = Slots(free=1)
    await shelf.store.pause("work", None)

    [answer] = await shelf.store.enqueue([new_item()], slots)

    assert accepted(answer).state is State.QUEUED
    assert (slots.free, slots.claims) == (1, [])


async def test_item_behind_a_ready_one_is_not_handed_off(shelf: Shelf) -> None:
    """Nobody overtakes what waits; another queue's items, or later ones, do not wait here."""
    slots = Slots(free=1)
    await shelf.put(new_item(), new_item("idle", delay_seconds=5.0))

    [behind] = await shelf.store.enqueue([new_item()], slots)
    [ahead] = await shelf.store.enqueue([new_item("idle")], slots)

    assert not accepted(behind).is_handed_off
    assert accepted(ahead).is_handed_off


async def test_item_behind_one_of_the_same_commit_is_not_handed_off(shelf: Shelf) -> None:
    """What came first into the commit without a slot is not overtaken either."""
    slots, first, second = Slots(free=1), new_item(), new_item()

    await asyncio.gather(shelf.store.enqueue([first]), shelf.store.enqueue([second], slots))

    assert slots.claims == []
    assert ids_of(await shelf.take()) == [first.id, second.id]


async def test_replay_is_not_handed_off(shelf: Shelf) -> None:
    """The slot that was set aside comes back."""
    slots = Slots(free=1)
    [item_id] = await shelf.put(new_item(key=key()))
    claim = await shelf.take_one()

    answers = await shelf.store.enqueue([new_item(key=key())], slots)

    assert answers == [Replayed(item_id, State.LEASED)]
    assert (slots.free, slots.claims) == (1, [])
    assert await shelf.store.renew([claim.lease], 30.0) == [True]


async def test_call_that_fails_gives_its_slots_back(shelf: Shelf) -> None:
    """A slot set aside for an item that could not be stored is free again."""
    slots = Slots(free=3)
    [known] = await shelf.put(new_item(delay_seconds=9.0))
    items = [new_item(), msgspec.structs.replace(new_item(), id=known)]

    with pytest.raises(StoreError):
        await shelf.store.enqueue(items, slots)

    assert (slots.free, slots.claims) == (3, [])


async def test_somebody_elses_failure_leaves_a_hand_off_alone(shelf: Shelf) -> None:
    """Written again without the guilty item, the good one still reaches its slot, once."""
    slots, good = Slots(free=2), new_item()
    [known] = await shelf.put(new_item(delay_seconds=9.0))
    bad = msgspec.structs.replace(new_item(), id=known)

    await asyncio.gather(
        shelf.store.enqueue([bad], slots),
        shelf.store.enqueue([good], slots),
        return_exceptions=True,
    )

    assert ids_of(slots.claims) == [good.id]
    assert slots.free == 1
    assert await shelf.settle(succeed(slots.claims[0])) == [True]


async def test_cancelled_callers_item_is_still_delivered(shelf: Shelf) -> None:
    """The slot gets the item whether or not anybody waits for the answer."""
    slots = Slots(free=1)
    caller = asyncio.ensure_future(shelf.store.enqueue([new_item()], slots))
    await asyncio.sleep(0)

    caller.cancel()
    await shelf.store.probe()

    assert len(slots.claims) == 1
    assert await shelf.settle(succeed(slots.claims[0])) == [True]
