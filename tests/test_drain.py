"""The drain: how a daemon stops without losing or repeating work."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, Gate, House
from tirelessd.core.decision import Complete
from tirelessd.core.errors import Draining
from tirelessd.core.events import AttemptFinished, ItemClaimed, ItemSucceeded
from tirelessd.core.item import Context, Item, State
from tirelessd.core.outcome import Outcome
from tirelessd.core.queue import QueueConfig


async def test_running_attempts_may_finish(house: House) -> None:
    """What ends within the drain's time ends as it would have."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    item_id = await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    house.engine.begin_drain()

    draining = asyncio.gather(house.engine.drain(30))
    gate.opened.set()
    (counts,) = await draining

    assert counts == {"finished": 1, "released": 0, "abandoned": 0}
    assert (await house.record(item_id)).state is State.SUCCEEDED


async def test_attempts_beyond_the_time_are_released_uncounted(house: House) -> None:
    """What does not end in time goes back to the store, and its attempt is not counted."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    item_id = await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)

    house.engine.begin_drain()
    counts = await house.engine.drain(0.05)

    record = await house.record(item_id)
    assert counts == {"finished": 0, "released": 1, "abandoned": 0}
    assert (record.state, record.attempts, list(record.history)) == (State.QUEUED, 0, [])
    assert [e.outcome for e in house.recorder.of(AttemptFinished)] == [Outcome.RELEASED]


async def test_released_item_runs_after_the_restart(house: House) -> None:
    """The next process takes a released item up at once, as its first attempt."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    item_id = await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    await house.stop(drain_seconds=0.05)

    await house.start()
    (done,) = await house.recorder.wait_for(ItemSucceeded)

    assert (done.item_id, done.attempts) == (item_id, 1)


async def test_nothing_is_handed_off_or_claimed_while_draining(house: House) -> None:
    """Until intake closes items are still accepted, but they wait for the next process."""
    house.engine.begin_drain()

    item_id = await house.submit(b"a")

    assert house.recorder.of(ItemClaimed) == []
    assert (await house.record(item_id)).state is State.QUEUED
    assert "lifecycle" in house.engine.health().failing


async def test_intake_refuses_once_the_drain_has_begun(house: House) -> None:
    """After the pre-drain the answer is `draining`."""
    house.engine.begin_drain()
    await house.engine.drain(0)

    with pytest.raises(Draining):
        await house.submit(b"a")


async def test_handler_that_would_not_end_is_abandoned_in_bounded_time(
    make_house: MakeHouse,
) -> None:
    """A handler that ignores its cancellation cannot hold the shutdown; its item is released."""
    queue = QueueConfig("work", slots=1, retry=FAST_RETRY)
    house = await make_house(queue)
    reached, let_go = asyncio.Event(), asyncio.Event()

    async def stubborn(item: Item, context: Context) -> Complete:
        reached.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return Complete()

    house.handlers["work"].script(b"a", stubborn)
    item_id = await house.submit(b"a")
    await asyncio.wait_for(reached.wait(), 10)
    house.engine.begin_drain()

    counts = await house.engine.drain(0.05)
    let_go.set()

    assert counts == {"finished": 0, "released": 0, "abandoned": 1}
    assert (await house.record(item_id)).state is State.QUEUED
