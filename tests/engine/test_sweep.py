"""Leases that nobody knows any more are taken back, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.engine.script import Gate, House
from tirelessd.core.decision import Settlement
from tirelessd.core.events import ItemSucceeded, LeaseReclaimed, UnexpectedError
from tirelessd.core.item import State
from tirelessd.store.base import Settled


async def test_lease_that_its_slot_forgot_is_taken_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item whose end could twice not be settled is tried again, its attempt counted."""
    settle = house.store.settle
    failures = [RuntimeError("a defect"), RuntimeError("the same again")]

    async def broken(
        settlements: Sequence[Settlement], lease_seconds: float = 30.0
    ) -> Sequence[Settled]:
        if failures:
            raise failures.pop(0)
        return await settle(settlements, lease_seconds)

    monkeypatch.setattr(house.store, "settle", broken)
    item_id = await house.submit(b"a")
    await house.recorder.wait_for(UnexpectedError, 2)
    sweep = house.engine.sweep

    await sweep.run()
    left = (await house.record(item_id)).state
    await sweep.run()
    await house.recorder.wait_for(ItemSucceeded)

    record = await house.record(item_id)
    assert left is State.LEASED
    assert [(row.attempt, row.reason) for row in record.history] == [(1, "lease_lost")]
    assert (record.state, record.attempts) == (State.SUCCEEDED, 2)


async def test_lease_of_a_running_attempt_is_left_alone(house: House) -> None:
    """However often the sweep comes by, an attempt keeps its lease."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    item_id = await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    sweep = house.engine.sweep

    for _ in range(3):
        await sweep.run()
    gate.opened.set()
    await house.recorder.wait_for(ItemSucceeded)

    assert house.recorder.of(LeaseReclaimed) == []
    assert (await house.record(item_id)).attempts == 1


async def test_sweep_beside_load_takes_nothing_back(house: House) -> None:
    """Claims, hand-offs, refills and settlements under way are never taken for forgotten."""
    sweep, over = house.engine.sweep, asyncio.Event()

    async def sweep_on() -> None:
        while not over.is_set():
            await sweep.run()

    async with asyncio.TaskGroup() as group:
        group.create_task(sweep_on())
        await asyncio.gather(*(house.submit(b"%d" % n) for n in range(1_000)))
        await house.recorder.wait_for(ItemSucceeded, 1_000)
        over.set()

    assert house.recorder.of(LeaseReclaimed) == []


async def test_sweep_leaves_a_broken_store_in_peace(house: House) -> None:
    """A store that does not answer ends the round, and no suspicion outlasts it."""
    sweep = house.engine.sweep
    house.store.broken = {"probe"}

    await sweep.run()

    house.store.broken = set()
    assert house.recorder.of(UnexpectedError) == []
