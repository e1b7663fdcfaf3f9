"""The contract of what happens to items without an attempt: expire, cancel, pause, purge."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.clock import START_AT
from tests.store.shelf import Shelf, give_up, key, new_item, retry, succeed
from tirelessd.core.item import State
from tirelessd.core.queue import QueueConfig, Retention
from tirelessd.store.base import Cancelled, Expired, Pause

DAY = 86_400.0


async def test_overdue_items_end_dead(shelf: Shelf) -> None:
    """With the reason, the attempts they had, their age, and what the last attempt came to."""
    [fresh, tried] = await shelf.put(
        new_item(deadline_seconds=9.0, delay_seconds=1.0), new_item(deadline_seconds=5.0)
    )
    again = retry(await shelf.take_one(), seconds=DAY)
    await shelf.settle(again)
    shelf.clock.advance(10.0)

    ended = await shelf.store.expire(10)

    record = await shelf.record(tried)
    expected = [Expired(fresh, "work", 0, 10.0), Expired(tried, "work", 1, 10.0, again.failure)]
    assert sorted(ended, key=lambda item: item.attempts) == expected
    assert (record.state, record.dead_reason) == (State.DEAD, "expired")
    assert record.finished_at == START_AT + 10.0
    assert await shelf.store.expire(10) == []


async def test_deadline_belongs_to_the_end(shelf: Shelf) -> None:
    """An item expires at its deadline, not before."""
    await shelf.put(new_item(deadline_seconds=5.0))

    shelf.clock.advance(4.875)
    early = await shelf.store.expire(10)
    shelf.clock.advance(0.125)

    assert early == []
    assert len(await shelf.store.expire(10)) == 1


async def test_expiry_spares_running_items_and_nobody_else(shelf: Shelf) -> None:
    """A leased item is its slot's affair; a paused or unconfigured queue's item ends."""
    await shelf.put(new_item("run", deadline_seconds=1.0))
    [running] = await shelf.take("run")
    [paused] = await shelf.put(new_item("paused", deadline_seconds=1.0))
    await shelf.store.pause("paused", None)
    shelf.clock.advance(DAY)

    ended = await shelf.store.expire(10)

    assert [item.item_id for item in ended] == [paused]
    assert await shelf.settle(succeed(running)) == [True]


async def test_expiry_ends_the_longest_overdue_first(shelf: Shelf) -> None:
    """As many as asked for."""
    [second, first] = await shelf.put(
        new_item(deadline_seconds=2.0), new_item(deadline_seconds=1.0)
    )
    shelf.clock.advance(DAY)

    found = [[item.item_id for item in await shelf.store.expire(1)] for _ in range(3)]

    assert found == [[first], [second], []]


async def test_queued_item_is_cancelled_once(shelf: Shelf) -> None:
    """It ends there and then; a second cancel finds it cancelled and changes nothing."""
    [item_id] = await shelf.put(new_item())

    first, second = await shelf.store.cancel(item_id), await shelf.store.cancel(item_id)

    record = await shelf.record(item_id)
    assert first == Cancelled(State.CANCELLED, "work", is_changed=True)
    assert second == Cancelled(State.CANCELLED, "work", is_changed=False)
    assert (record.state, record.finished_at) == (State.CANCELLED, START_AT)
    assert await shelf.take() == []


async def test_cancel_tells_the_attempts_so_far(shelf: Shelf) -> None:
    """Those of the generation."""
    [item_id] = await shelf.put(new_item())
    await shelf.settle(retry(await shelf.take_one()))

    answer = await shelf.store.cancel(item_id)

    assert answer.attempts == 1


async def test_one_of_two_concurrent_cancels_did_it(shelf: Shelf) -> None:
    """In one commit too."""
    [item_id] = await shelf.put(new_item())

    answers = await asyncio.gather(shelf.store.cancel(item_id), shelf.store.cancel(item_id))

    assert [answer.is_changed for answer in answers] == [True, False]


async def test_only_a_queued_item_can_be_cancelled(shelf: Shelf) -> None:
    """A running or ended one is told of by its state; an unknown one by None."""
    [running, done] = await shelf.put(new_item(), new_item())
    claims = await shelf.take()
    await shelf.settle(succeed(claims[1]))

    answers = [await shelf.store.cancel(item_id) for item_id in (running, done, "nobody")]

    assert [answer.state for answer in answers] == [State.LEASED, State.SUCCEEDED, None]
    assert not any(answer.is_changed for answer in answers)


async def test_pauses_in_force_are_listed(shelf: Shelf) -> None:
    """With the time they have left; an expired one is not."""
    await shelf.store.pause("a", 10.0)
    await shelf.store.pause("b", None)
    await shelf.store.pause("c", 1.0)
    shelf.clock.advance(4.0)

    assert await shelf.store.pauses() == [Pause("a", 6.0), Pause("b", None)]


async def test_pause_replaces_a_former_one(shelf: Shelf) -> None:
    """The last word counts, and a resume ends it; resuming what runs is no error."""
    await shelf.store.pause("a", 10.0)
    await shelf.store.pause("a", None)

    replaced = await shelf.store.pauses()
    await shelf.store.resume("a")
    await shelf.store.resume("a")

    assert replaced == [Pause("a", None)]
    assert await shelf.store.pauses() == []


def kept(**retention: Any) -> list[QueueConfig]:
    """The queue of these tests, keeping everything for long but what is named."""
    values = {"succeeded_seconds": DAY, "cancelled_seconds": DAY, "dead_seconds": DAY, **retention}
    return [QueueConfig("work", retention=Retention(**values))]


async def one_of_each_end(shelf: Shelf) -> list[str]:
    """A succeeded, a dead, a cancelled, a running and a waiting item; their ids."""
    ids = await shelf.put(*[new_item() for _ in range(5)])
    claims = await shelf.take(limit=4)
    await shelf.settle(succeed(claims[0], b"result"), give_up(claims[1]))
    await shelf.store.release([claims[2].lease])
    await shelf.store.cancel(ids[2])
    return ids


async def left(shelf: Shelf, ids: list[str]) -> list[bool]:
    """Which of these items are still stored."""
    return [await shelf.store.get(item_id) is not None for item_id in ids]


async def test_each_end_has_a_retention_of_its_own(shelf: Shelf) -> None:
    """Ended items go when their time is over; the others never."""
    ids = await one_of_each_end(shelf)
    shelf.clock.advance(10.0)

    await shelf.store.purge(kept(succeeded_seconds=10.0), 100)
    after_first = await left(shelf, ids)
    await shelf.store.purge(kept(cancelled_seconds=10.0), 100)
    after_second = await left(shelf, ids)
    shelf.clock.advance(10 * DAY)
    await shelf.store.purge(kept(), 100)

    assert after_first == [False, True, True, True, True]
    assert after_second == [False, True, False, True, True]
    assert await left(shelf, ids) == [False, False, False, True, True]


async def test_purge_counts_dead_letters_apart(shelf: Shelf) -> None:
    """Per queue, and everything else, old keys included, in one sum."""
    await one_of_each_end(shelf)
    await shelf.put(new_item(key=key(keep=1.0)))
    shelf.clock.advance(2 * DAY)

    counts = await shelf.store.purge(kept(), 100)

    assert dict(counts) == {"work": 1, "": 3}
    assert sum((await shelf.store.purge(kept(), 100)).values()) == 0


async def test_purged_item_leaves_nothing(shelf: Shelf) -> None:
    """Payload, result and history go with it."""
    [item_id] = await shelf.put(new_item())
    await shelf.settle(retry(await shelf.take_one(), seconds=0.0))
    await shelf.settle(succeed(await shelf.take_one(), b"result"))
    shelf.clock.advance(2 * DAY)

    await shelf.store.purge(kept(), 100)

    assert await shelf.store.get(item_id) is None
    assert await shelf.store.payload(item_id) is None
    assert await shelf.store.result(item_id) is None


async def test_purge_takes_the_oldest_end_first_and_keeps_its_limit(shelf: Shelf) -> None:
    """Over queues and states."""
    queues = [QueueConfig("a"), QueueConfig("b")]
    ids = await shelf.put(*[new_item(queue) for queue in "abab"])
    for queue in "abab":
        [claim] = await shelf.take(queue, limit=1)
        await shelf.settle(succeed(claim) if queue == "a" else give_up(claim))
        shelf.clock.advance(1.0)
    shelf.clock.advance(100 * DAY)

    first = await shelf.store.purge(queues, 3)

    assert dict(first) == {"": 2, "b": 1}
    assert await left(shelf, ids) == [False, False, False, True]


async def test_number_of_ended_items_is_bounded(shelf: Shelf) -> None:
    """What is too many goes before its time, the oldest end first."""
    ids = await shelf.put(*[new_item() for _ in range(4)])
    for claim in await shelf.take():
        await shelf.settle(succeed(claim))
        shelf.clock.advance(1.0)

    await shelf.store.purge(kept(items=2), 100)

    assert await left(shelf, ids) == [False, False, True, True]


async def test_unconfigured_queue_is_never_purged(shelf: Shelf) -> None:
    """Its items are kept until somebody configures it or deletes them."""
    ids = await shelf.put(new_item("former"))
    await shelf.settle(*[succeed(claim) for claim in await shelf.take("former")])
    shelf.clock.advance(1_000 * DAY)

    await shelf.store.purge(kept(), 100)

    assert await left(shelf, ids) == [True]


async def test_large_purge_is_done_in_steps(shelf: Shelf) -> None:
    """One call deletes up to its limit, whatever a commit takes."""
    ids = await shelf.put(*[new_item() for _ in range(1_200)])
    await shelf.settle(*[succeed(claim) for claim in await shelf.take(limit=1_200)])
    shelf.clock.advance(2 * DAY)

    first = await shelf.store.purge(kept(), 1_100)
    second = await shelf.store.purge(kept(), 1_100)

    assert (dict(first), dict(second)) == ({"": 1_100}, {"": 100})
    assert not any(await left(shelf, ids[-3:]))
