"""The contract of reads: lists in the order of acceptance, the snapshot, the store's own life."""

from __future__ import annotations

import asyncio

import pytest

from tests.store.shelf import Shelf, give_up, lose, new_item, retry, succeed
from tirelessd.core.errors import StoreUnavailable
from tirelessd.core.item import ShownState, State
from tirelessd.store.base import QueueSnapshot


async def listed(
    shelf: Shelf, state: State | ShownState | None, queue: str = "work", limit: int = 2
) -> list[str]:
    """All items of a state, page by page."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = await shelf.store.list_items(queue, state, after, limit)
        assert len(page.items) <= limit
        found += [record.id for record in page.items]
        if page.next_after is None:
            return found
        after = page.next_after


async def one_of_each(shelf: Shelf) -> dict[ShownState, str]:
    """An item in every shown state, all accepted at once, and ten seconds on; their ids."""
    states = list(ShownState)
    ids = await shelf.put(*[new_item(priority=9 - i) for i in range(len(states))])
    of = dict(zip(states, ids, strict=True))
    claims = {claim.item.id: claim for claim in await shelf.take()}
    await shelf.settle(
        retry(claims[of[ShownState.RETRYING]], seconds=60.0),
        retry(claims[of[ShownState.READY]], seconds=4.0),
        succeed(claims[of[ShownState.SUCCEEDED]]),
        give_up(claims[of[ShownState.DEAD]]),
    )
    waiting = (ShownState.CANCELLED, ShownState.SCHEDULED)
    await shelf.store.release([claims[of[state]].lease for state in waiting])
    await shelf.store.cancel(of[ShownState.CANCELLED])
    await shelf.store.cancel(of[ShownState.SCHEDULED])
    [of[ShownState.SCHEDULED]] = await shelf.put(new_item(delay_seconds=60.0))
    shelf.clock.advance(10.0)
    return of


@pytest.mark.parametrize("state", list(ShownState))
async def test_list_of_a_shown_state_has_just_its_items(shelf: Shelf, state: ShownState) -> None:
    """And each of them says so itself."""
    of = await one_of_each(shelf)

    page = await shelf.store.list_items("work", state, None, 100)

    assert of[state] in [record.id for record in page.items]
    assert {record.shown_state for record in page.items} == {state}


async def test_list_of_a_stored_state_has_all_its_items(shelf: Shelf) -> None:
    """`queued` is ready, scheduled and retrying together."""
    of = await one_of_each(shelf)

    queued = await listed(shelf, State.QUEUED)

    assert queued == [of[s] for s in (ShownState.READY, ShownState.RETRYING, ShownState.SCHEDULED)]
    assert await listed(shelf, State.LEASED) == [of[ShownState.RUNNING]]


async def test_lists_are_in_the_order_of_acceptance(shelf: Shelf) -> None:
    """Whatever the priority, the due time or the state; each item once, in pages of any size."""
    ids = await shelf.put(*[new_item(priority=i, delay_seconds=9.0 - i) for i in range(5)])
    await shelf.put(new_item("other"))
    shelf.clock.advance(9.0)
    await shelf.settle(*[retry(claim) for claim in await shelf.take(limit=2)])

    assert await listed(shelf, None, limit=1) == ids
    assert await listed(shelf, None, limit=5) == ids
    assert await listed(shelf, State.QUEUED, limit=100) == ids
    assert await listed(shelf, None, "nowhere") == []


async def test_list_has_last_errors_and_no_history(shelf: Shelf) -> None:
    """What a page needs, and no more."""
    await shelf.put(new_item())
    await shelf.settle(retry(await shelf.take_one()))

    [record] = (await shelf.store.list_items("work", None, None, 10)).items

    assert record.last_error is not None
    assert (record.last_error.status, list(record.history)) == (503, [])


async def test_unknown_item_reads_as_nothing(shelf: Shelf) -> None:
    """No error: it may have been purged."""
    assert await shelf.store.get("nobody") is None
    assert await shelf.store.payload("nobody") is None
    assert await shelf.store.result("nobody") is None


async def test_snapshot_counts_every_shown_state(shelf: Shelf) -> None:
    """One of each is counted as one of each, and only the first four are unfinished."""
    await one_of_each(shelf)

    snapshot = (await shelf.store.snapshot(["work"])).queues["work"]

    counts = {**dict.fromkeys(ShownState, 1), ShownState.CANCELLED: 2}
    assert dict(snapshot.counts) == counts
    assert snapshot.unfinished == 4


async def test_snapshot_tells_ages(shelf: Shelf) -> None:
    """Since due for what is claimable, since acceptance for the oldest of each state."""
    await one_of_each(shelf)
    shelf.clock.advance(5.0)
    await shelf.put(new_item())

    snapshot = (await shelf.store.snapshot(["work"])).queues["work"]

    assert snapshot.ready_age_seconds == 11.0
    assert dict(snapshot.item_age_seconds) == dict.fromkeys(ShownState, 15.0)


async def test_recovered_items_are_counted_as_what_they_are(shelf: Shelf) -> None:
    """Ready once due, retrying before; and they make the queue's ready age."""
    await shelf.put(new_item(), new_item())
    first, second = await shelf.take()
    await shelf.settle(lose(first, seconds=2.0), lose(second, seconds=20.0))
    shelf.clock.advance(5.0)

    snapshot = (await shelf.store.snapshot(["work"])).queues["work"]

    assert (snapshot.counts[ShownState.READY], snapshot.counts[ShownState.RETRYING]) == (1, 1)
    assert snapshot.ready_age_seconds == 3.0


async def test_items_past_their_deadline_make_no_ready_age(shelf: Shelf) -> None:
    """Nobody can claim them; they are still counted until upkeep ends them."""
    await shelf.put(new_item(deadline_seconds=5.0))
    shelf.clock.advance(60.0)

    snapshot = (await shelf.store.snapshot(["work"])).queues["work"]

    assert (snapshot.counts[ShownState.READY], snapshot.ready_age_seconds) == (1, 0.0)


async def test_snapshot_sums_up_what_is_not_configured(shelf: Shelf) -> None:
    """Queues that nobody asked for stand together; one without items stands at nothing."""
    await shelf.put(new_item("work"), new_item("former"), new_item("older"))
    shelf.clock.advance(3.0)
    await shelf.settle(*[give_up(claim) for claim in await shelf.take("older")])

    snapshot = await shelf.store.snapshot(["work", "idle"])

    nothing = QueueSnapshot(dict.fromkeys(ShownState, 0), 0.0, dict.fromkeys(ShownState, 0.0))
    unconfigured = snapshot.unconfigured
    assert set(snapshot.queues) == {"work", "idle"}
    assert snapshot.queues["idle"] == nothing
    assert (unconfigured.counts[ShownState.READY], unconfigured.counts[ShownState.DEAD]) == (1, 1)
    assert unconfigured.ready_age_seconds == 3.0
    assert unconfigured.unfinished == 1
    assert snapshot.unconfigured_names == ["former", "older"]


async def test_snapshot_names_no_queue_that_is_done_with(shelf: Shelf) -> None:
    """A removed queue whose items all went well wants nothing of anybody."""
    await shelf.put(new_item("former"))
    await shelf.settle(*[succeed(claim) for claim in await shelf.take("former")])

    snapshot = await shelf.store.snapshot([])

    assert snapshot.unconfigured.counts[ShownState.SUCCEEDED] == 1
    assert snapshot.unconfigured_names == []


async def test_snapshot_measures_the_store(shelf: Shelf) -> None:
    """It has a size."""
    await shelf.put(new_item(payload=bytes(100_000)))

    snapshot = await shelf.store.snapshot([])

    assert snapshot.size_bytes > 0
    assert snapshot.unconfigured.unfinished == 1


async def test_probe_of_a_sound_store_is_silent(shelf: Shelf) -> None:
    """It proves that a write would be durable, and changes nothing that anybody sees."""
    await shelf.store.probe()

    assert (await shelf.store.snapshot([])).unconfigured.unfinished == 0


async def test_store_finishes_what_was_handed_in_before_it_closes(shelf: Shelf) -> None:
    """A write that has begun is written and answered; later ones are refused."""
    item = new_item()
    call = asyncio.ensure_future(shelf.store.enqueue([item]))
    await asyncio.sleep(0)

    await shelf.store.close()

    assert len(await call) == 1
    with pytest.raises(StoreUnavailable):
        await shelf.store.enqueue([new_item()])
    await shelf.reopen()
    assert (await shelf.record(item.id)).state is State.QUEUED


async def test_closing_twice_is_closing_once(shelf: Shelf) -> None:
    """No error, and the data can be opened again."""
    await shelf.store.close()
    await shelf.store.close()

    store = await shelf.reopen()

    assert await store.pauses() == []
