"""The contract of acceptance: what is stored, when it is due, and what a known key answers."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clock import START_AT
from tests.store.shelf import KEEP_SECONDS, Shelf, accepted, key, new_item, succeed
from tirelessd.core.errors import StoreError, UnstorableValue
from tirelessd.core.item import Body, ShownState, State
from tirelessd.core.queue import QueueConfig, Retention
from tirelessd.core.trace import TraceContext
from tirelessd.store.base import Accepted, Conflicting, Replayed


async def test_accepted_item_can_be_read_back(shelf: Shelf) -> None:
    """What `get` shows of a new item is what was handed in, and when."""
    item = new_item(payload=b"[1]", content_type="application/x-model", priority=7)

    [answer] = await shelf.store.enqueue([item])

    record = await shelf.record(item.id)
    assert answer == Accepted(item.id, State.QUEUED, is_handed_off=False, due_in_seconds=0.0)
    assert (record.queue, record.priority, record.content_type) == ("work", 7, item.content_type)
    assert (record.state, record.shown_state) == (State.QUEUED, ShownState.READY)
    assert (record.attempts, record.generation, record.payload_bytes) == (0, 1, 3)
    assert record.accepted_at == record.due_at == START_AT
    assert record.deadline_at == START_AT + item.deadline_seconds
    assert (record.finished_at, record.dead_reason, record.last_error) == (None, None, None)
    assert record.history == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=st.lists(st.binary(max_size=40), min_size=1, max_size=8))
async def test_payloads_survive_byte_for_byte(shelf: Shelf, payloads: list[bytes]) -> None:
    """Payloads of one commit come back as they were, in claims and in reads, empty ones too."""
    ids = await shelf.put(*[new_item("bytes", payload) for payload in payloads])

    claims = await shelf.take("bytes")

    assert [claim.item.payload for claim in claims] == payloads
    for item_id, payload in zip(ids, payloads, strict=True):
        assert await shelf.store.payload(item_id) == Body(payload, "application/json")


async def test_claimed_item_carries_what_came_with_it(shelf: Shelf) -> None:
    """Headers, content type, priority and trace context reach the slot."""
    item = new_item(
        headers={"x-tenant": "søgne \u0000 \U0001f600"},
        content_type="text/plain; charset=utf-8",
        priority=0,
        trace=TraceContext("00-1-2-01", "a=b"),
    )
    await shelf.put(item)

    claim = await shelf.take_one()

    assert claim.item.headers == item.headers
    assert (claim.item.content_type, claim.item.priority) == (item.content_type, 0)
    assert claim.trace == TraceContext("00-1-2-01", "a=b")
    assert claim.item.accepted_epoch_seconds == START_AT


@pytest.mark.parametrize(
    ("delay_seconds", "not_before_at", "due_in_seconds"),
    [
        (0.0, None, 0.0),
        (5.0, None, 5.0),
        (5.0, START_AT + 9.0, 9.0),
        (5.0, START_AT + 1.0, 5.0),
        (0.0, START_AT - 100.0, 0.0),
    ],
)
async def test_due_time_is_the_later_of_delay_and_not_before(
    shelf: Shelf, delay_seconds: float, not_before_at: float | None, due_in_seconds: float
) -> None:
    """An item waits for its delay and for its instant, and an instant that has passed is now."""
    item = new_item(delay_seconds=delay_seconds, not_before_at=not_before_at)

    [answer] = await shelf.store.enqueue([item])

    record = await shelf.record(item.id)
    assert accepted(answer).due_in_seconds == due_in_seconds
    assert record.due_at == START_AT + due_in_seconds
    assert record.deadline_at == record.due_at + item.deadline_seconds


async def test_nothing_to_accept_is_answered_by_nothing(shelf: Shelf) -> None:
    """An empty call has an empty answer."""
    assert list(await shelf.store.enqueue([])) == []


async def test_key_that_comes_again_stores_nothing(shelf: Shelf) -> None:
    """The key answers with the first item's id; with another fingerprint it conflicts."""
    [first] = await shelf.put(new_item(key=key("a")))

    again = await shelf.store.enqueue([new_item(key=key("a")), new_item(key=key("a", b"other"))])

    assert again == [Replayed(first, State.QUEUED), Conflicting(first)]
    assert len(await shelf.take()) == 1


async def test_replay_tells_the_current_state(shelf: Shelf) -> None:
    """A key that comes again after the end is answered with the end."""
    [item_id] = await shelf.put(new_item(key=key()))
    await shelf.settle(succeed(await shelf.take_one()))

    [answer] = await shelf.store.enqueue([new_item(key=key())])

    assert answer == Replayed(item_id, State.SUCCEEDED)


async def test_keys_of_queues_are_apart(shelf: Shelf) -> None:
    """The same key in another queue is another key."""
    answers = await shelf.store.enqueue([new_item("a", key=key()), new_item("b", key=key())])

    assert [type(answer) for answer in answers] == [Accepted, Accepted]


async def test_one_call_stores_a_key_once(shelf: Shelf) -> None:
    """Of two items of one call with one key, the second is a replay of the first."""
    items = [new_item(key=key()), new_item(key=key()), new_item(key=key("k", b"other"))]

    answers = await shelf.store.enqueue(items)

    assert answers[1:] == [Replayed(items[0].id, State.QUEUED), Conflicting(items[0].id)]


async def test_concurrent_calls_store_a_key_once(shelf: Shelf) -> None:
    """However many callers bring a key at once, there is one item and everybody hears its id."""
    calls = [shelf.store.enqueue([new_item(key=key())]) for _ in range(20)]

    answers = [answer for [answer] in await asyncio.gather(*calls)]

    assert [type(answer) for answer in answers].count(Accepted) == 1
    assert len({answer.id for answer in answers}) == 1
    assert len(await shelf.take()) == 1


async def test_key_outlives_the_purge_of_its_item(shelf: Shelf) -> None:
    """After the purge a replay knows the id and no state."""
    [item_id] = await shelf.put(new_item(key=key(keep=10.0)))
    await shelf.settle(succeed(await shelf.take_one()))
    shelf.clock.advance(5.0)
    await shelf.store.purge([QueueConfig("work", retention=Retention(succeeded_seconds=1.0))], 10)

    [answer] = await shelf.store.enqueue([new_item(key=key(keep=10.0))])

    assert await shelf.store.get(item_id) is None
    assert answer == Replayed(item_id, None)


async def test_expired_key_is_a_new_key(shelf: Shelf) -> None:
    """Once its time is over a key is accepted again, with any fingerprint, and kept anew."""
    [first] = await shelf.put(new_item(key=key()))
    shelf.clock.advance(KEEP_SECONDS)

    [second] = await shelf.put(new_item(key=key("k", b"other")))
    [third] = await shelf.store.enqueue([new_item(key=key("k", b"other"))])

    assert second != first
    assert third == Replayed(second, State.QUEUED)


async def test_known_keys_are_found_without_storing_anything(shelf: Shelf) -> None:
    """`find_keys` answers as `enqueue` would, and with None for whatever would be stored."""
    [item_id] = await shelf.put(new_item(key=key("a")))
    asked = [
        new_item(key=key("a")),
        new_item(key=key("a", b"other")),
        new_item(key=key("b")),
        new_item(),
        new_item("elsewhere", key=key("a")),
    ]

    found = await shelf.store.find_keys(asked)

    assert found == [Replayed(item_id, State.QUEUED), Conflicting(item_id), None, None, None]
    assert len(await shelf.take()) == 1


async def test_expired_key_is_not_found(shelf: Shelf) -> None:
    """`find_keys` forgets a key when `enqueue` does."""
    await shelf.put(new_item(key=key()))
    shelf.clock.advance(KEEP_SECONDS)

    assert await shelf.store.find_keys([new_item(key=key())]) == [None]


async def test_call_is_accepted_whole_or_not_at_all(shelf: Shelf) -> None:
    """If one item of a call cannot be stored, none of the call's is."""
    [known] = await shelf.put(new_item())
    good, bad = new_item(), new_item()

    with pytest.raises(StoreError):
        await shelf.store.enqueue([good, msgspec.structs.replace(bad, id=known)])

    assert await shelf.store.get(good.id) is None


async def test_bad_value_fails_nobody_else(shelf: Shelf) -> None:
    """Callers that share a commit with an item that cannot be stored are accepted all the same."""
    [known] = await shelf.put(new_item())
    good = [new_item() for _ in range(5)]
    calls = [shelf.store.enqueue([item]) for item in good]
    calls.insert(2, shelf.store.enqueue([msgspec.structs.replace(new_item(), id=known)]))

    answers = await asyncio.gather(*calls, return_exceptions=True)

    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(failure) for failure in failures] == [UnstorableValue]
    assert [(await shelf.record(item.id)).state for item in good] == [State.QUEUED] * 5


async def test_cancelled_caller_is_stored_all_the_same(shelf: Shelf) -> None:
    """What was handed in is written; only the answer is lost, and nobody else's with it."""
    gone, there = new_item(), new_item()
    caller = asyncio.ensure_future(shelf.store.enqueue([gone]))
    other = asyncio.ensure_future(shelf.store.enqueue([there]))
    await asyncio.sleep(0)

    caller.cancel()
    await asyncio.gather(caller, other, return_exceptions=True)

    assert caller.cancelled()
    assert (await shelf.record(gone.id)).state is State.QUEUED
    assert (await shelf.record(there.id)).state is State.QUEUED
