"""Interleavings that once cost an item, a slot or the truth; each was seen to go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, Gate, House
from tests.waiting import wait_until
from tirelessd.core.decision import Complete, Settlement
from tirelessd.core.errors import CommitUnknown, QueueFull, Retry, StoreUnavailable, UnstorableValue
from tirelessd.core.events import (
    ItemDied,
    ItemSucceeded,
    LateCompletion,
    LeaseLost,
    StoreFailed,
    UnexpectedError,
)
from tirelessd.core.item import Context, Item, NewItem, State
from tirelessd.core.outcome import DeadReason
from tirelessd.core.queue import QueueConfig
from tirelessd.engine.attempt import Stop
from tirelessd.engine.intake import Options, Submission
from tirelessd.store.base import Accepted, Settled


async def test_drain_waits_for_a_claim_under_way(make_house: MakeHouse) -> None:
    """A claim that is being written when the drain begins leaves no lease behind."""
    house = await make_house(QueueConfig("work", slots=4, retry=FAST_RETRY))
    await house.engine.desk.pause("work", None)
    ids = [await house.submit(b"%d" % n) for n in range(4)]
    claiming, go_on = asyncio.Event(), asyncio.Event()
    claim = house.store.claim

    async def slow_claim(*args: object, **named: object) -> object:
        claiming.set()
        await go_on.wait()
        return await claim(*args, **named)  # type: ignore[arg-type]

    house.store.claim = slow_claim  # type: ignore[assignment,method-assign]
    await house.engine.desk.resume("work")
    await asyncio.wait_for(claiming.wait(), 10)
    house.engine.begin_drain()
    draining = asyncio.gather(house.engine.drain(5))
    await asyncio.sleep(0)

    go_on.set()
    await draining

    states = {(await house.record(item_id)).state for item_id in ids}
    attempts = {(await house.record(item_id)).attempts for item_id in ids}
    assert (states, attempts) == ({State.QUEUED}, {0})


async def test_recovered_item_does_not_starve_behind_a_backlog(make_house: MakeHouse) -> None:
    """An item that lost a lease starts as soon as a slot is free, however many others wait."""
    house = await make_house(QueueConfig("work", slots=1, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"lost", gate)
    await house.submit(b"lost")
    await asyncio.wait_for(gate.reached.wait(), 10)
    await house.crash()
    await house.start()
    for n in range(300):
        await house.submit(b"%d" % n)

    await house.recorder.wait_for(ItemSucceeded, 301)

    order = [payload for payload, _ in house.handlers["work"].calls]
    assert order[1:].index(b"lost") < 150


async def test_drained_python_handler_is_released_not_abandoned(house: House) -> None:
    """A handler in a task of its own that ends when told to leaves nothing behind."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    house.engine.begin_drain()

    counts = await house.engine.drain(0.05)

    assert counts == {"finished": 0, "released": 1, "abandoned": 0}
    assert house.engine.status().pools["work"].busy == 0


async def test_stopping_a_settlement_changes_nothing(house: House) -> None:
    """What is being written when the drain's time is up counts as finished."""
    house.store.broken = {"settle"}
    await house.submit(b"a")
    await house.recorder.wait_for(StoreFailed)
    house.engine.begin_drain()
    draining = asyncio.gather(house.engine.drain(0))
    await asyncio.sleep(0)

    house.store.broken = set()
    (counts,) = await draining

    assert counts == {"finished": 1, "released": 0, "abandoned": 0}
    assert len(house.recorder.of(ItemSucceeded)) == 1


async def test_partly_full_slice_answers_for_what_it_stored(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When looking up keys fails after a commit, the stored items are still answered as such."""
    house = await make_house(QueueConfig("work", slots=1, capacity_items=1, retry=FAST_RETRY))
    house.handlers["work"].script(b"0", Gate())

    async def broken(items: Sequence[NewItem]) -> None:
        raise StoreUnavailable("the reader is down")

    monkeypatch.setattr(house.store, "find_keys", broken)
    answers = await house.engine.intake.accept_slice(
        "work",
        [Submission(b"%d" % n, "text/plain", options=Options(key=f"k{n}")) for n in range(2)],
    )

    assert [type(answer) for answer in answers] == [Accepted, QueueFull]


@pytest.mark.parametrize("answer", [None, b"bytes"])
async def test_handler_that_breaks_its_promise_fails(house: House, answer: object) -> None:
    """An answer that is none is a failure of the handler, tried again like any other."""

    async def wrong(item: Item, context: Context) -> Complete:
        return answer  # type: ignore[return-value]

    house.handlers["work"].script(b"a", wrong)
    item_id = await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    (failed,) = (await house.record(item_id)).history
    assert "instead of Complete" in failed.detail


async def test_outcome_that_the_store_refuses_ends_the_item(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that can never be stored costs its own item, and no other waits for it."""
    settle = house.store.settle

    async def picky(
        settlements: Sequence[Settlement], lease_seconds: float = 30.0
    ) -> Sequence[Settled]:
        if any(isinstance(one.decision, Complete) and one.decision.result for one in settlements):
            raise UnstorableValue("too odd a result")
        return await settle(settlements, lease_seconds)

    monkeypatch.setattr(house.store, "settle", picky)
    house.handlers["work"].script(b"fine", Complete(None))
    await house.submit(b"odd")
    (died,) = await house.recorder.wait_for(ItemDied)
    await house.submit(b"fine")
    await house.recorder.wait_for(ItemSucceeded)

    assert died.reason is DeadReason.NOT_RETRIABLE
    assert len(house.recorder.of(UnexpectedError)) == 1


async def test_renewal_beside_a_settlement_loses_no_lease(make_house: MakeHouse) -> None:
    """A lease that ends in the commit in which it is renewed was not lost."""
    house = await make_house(QueueConfig("work", slots=8, lease_seconds=0.01, retry=FAST_RETRY))

    await asyncio.gather(*(house.submit(b"%d" % n) for n in range(1_000)))
    await house.recorder.wait_for(ItemSucceeded, 1_000)

    assert house.recorder.of(LeaseLost) == []


async def test_settlement_of_unknown_fate_is_recognised(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision that was written although nobody knew is told as what it is, not as late."""
    settle = house.store.settle
    tries: list[bool] = []

    async def unlucky(
        settlements: Sequence[Settlement], lease_seconds: float = 30.0
    ) -> Sequence[Settled]:
        tries.append(settlements[0].is_repeat)
        answers = await settle(settlements, lease_seconds)
        if len(tries) == 1:
            raise CommitUnknown("the disk failed while the commit was written")
        return answers

    monkeypatch.setattr(house.store, "settle", unlucky)
    await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    assert tries == [False, True]
    assert house.recorder.of(LateCompletion) == []


async def test_retry_may_carry_an_exception(house: House) -> None:
    """`raise Retry(error)` says what the error says."""
    house.handlers["work"].script(b"a", Retry(ConnectionError("loading"), after_seconds=0.001))
    item_id = await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    (failed,) = (await house.record(item_id)).history
    assert failed.detail == "loading"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_retry_refuses_a_delay_that_is_none(seconds: float) -> None:
    """A handler learns at once that it asked for nonsense."""
    with pytest.raises(ValueError, match="after_seconds"):
        Retry(after_seconds=seconds)


async def test_answer_that_comes_with_the_limit_counts(house: House) -> None:
    """A handler that ends in the round of the loop in which it is stopped has ended."""
    reached, answer = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def ends(item: Item, context: Context) -> Complete:
        reached.set()
        await answer
        return Complete(b"just in time")

    house.handlers["work"].script(b"a", ends)
    await house.submit(b"a")
    await asyncio.wait_for(reached.wait(), 10)
    (attempt,) = house.engine._pools["work"].attempts()  # noqa: SLF001  (as a drain does)

    answer.set_result(None)
    attempt.stop(Stop.RELEASE)
    await house.recorder.wait_for(ItemSucceeded)

    assert len(house.handlers["work"].calls) == 1


async def test_lost_place_is_found_by_the_next_snapshot(make_house: MakeHouse) -> None:
    """A count that drifted, as after a commit of unknown fate, is set right in a quiet moment."""
    house = await make_house(QueueConfig("work", capacity_items=5, retry=FAST_RETRY))
    capacity = house.engine._capacity  # noqa: SLF001  (the books themselves)
    capacity.add("work", 5)

    async def is_right() -> bool:
        return capacity.held("work") == 0

    await wait_until(is_right, 10)
