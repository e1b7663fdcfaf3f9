"""What happens to items whose process died under them."""

from __future__ import annotations

import asyncio

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, Gate, House
from tirelessd.core.events import ItemDied, ItemSucceeded, LeaseReclaimed
from tirelessd.core.item import State
from tirelessd.core.outcome import DeadReason
from tirelessd.core.queue import QueueConfig


async def crash_during(house: House, payloads: list[bytes]) -> None:
    """Let the process die while these items run, and start it again."""
    gates = [Gate() for _ in payloads]
    for payload, gate in zip(payloads, gates, strict=True):
        house.handlers["work"].script(payload, gate)
    await asyncio.wait_for(asyncio.gather(*(gate.reached.wait() for gate in gates)), 10)
    await house.crash()


async def test_item_of_a_dead_process_is_tried_again(house: House) -> None:
    """A lost lease is a counted attempt like any other, and the next one follows."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    item_id = await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    await house.crash()

    await house.start()
    await house.recorder.wait_for(ItemSucceeded)

    record = await house.record(item_id)
    assert [(row.attempt, row.reason) for row in record.history] == [(1, "lease_lost")]
    assert record.attempts == 2
    assert len(house.recorder.of(LeaseReclaimed)) == 1


async def test_poison_item_ends_dead_after_three_lost_leases(make_house: MakeHouse) -> None:
    """An item under which the process dies three times is not tried a fourth time."""
    retry = FAST_RETRY.__class__(initial_seconds=0.01, cap_seconds=0.02, floor_seconds=0.001)
    house = await make_house(QueueConfig("work", slots=2, retry=retry))
    gates = [Gate(), Gate(), Gate()]
    house.handlers["work"].script(b"poison", *gates)
    item_id = await house.submit(b"poison")
    for gate in gates:
        await asyncio.wait_for(gate.reached.wait(), 10)
        await house.crash()
        await house.start()

    (died,) = await house.recorder.wait_for(ItemDied)

    assert died.reason is DeadReason.LEASE_LOST
    assert (await house.record(item_id)).state is State.DEAD
    assert len(house.handlers["work"].calls) == 3


async def test_recovered_items_start_one_at_a_time(make_house: MakeHouse) -> None:
    """After a crash its items come back singly, while fresh items use the other slots."""
    house = await make_house(QueueConfig("work", slots=4, retry=FAST_RETRY))
    first_gates = [Gate() for _ in range(4)]
    second_gates = [Gate() for _ in range(4)]
    for n in range(4):
        house.handlers["work"].script(b"%d" % n, first_gates[n], second_gates[n])
        await house.submit(b"%d" % n)
    await asyncio.wait_for(asyncio.gather(*(gate.reached.wait() for gate in first_gates)), 10)
    await house.crash()
    await house.start()

    done = asyncio.gather(*(house.submit(b"fresh %d" % n) for n in range(3)))
    await done
    await house.recorder.wait_for(ItemSucceeded, 3)
    reached = [gate for gate in second_gates if gate.reached.is_set()]
    assert len(reached) <= 1

    for gate in second_gates:
        gate.opened.set()
    await house.recorder.wait_for(ItemSucceeded, 7)
