"""What people see of items and queues, and what operators may do."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, Gate, House
from tests.waiting import wait_until
from tirelessd.core.decision import Complete
from tirelessd.core.errors import (
    GiveUp,
    InvalidRequest,
    ItemNotFound,
    NoResult,
    NotCancellable,
    NotFinished,
    UnknownQueue,
)
from tirelessd.core.events import (
    DeadItemsPurged,
    ItemCancelled,
    ItemDied,
    ItemSucceeded,
    QueuePaused,
    QueueResumed,
)
from tirelessd.core.item import ItemRecord, Selection, ShownState, State
from tirelessd.core.queue import QueueConfig, RetryPolicy
from tirelessd.store.reuse import REUSE_CAP_SECONDS

NOBODY = "01a2042b-f7e7-7644-b1a2-e8a03e0ca4b2"


@pytest.mark.parametrize("ask", ["item", "payload", "result", "cancel"])
async def test_unknown_item_is_not_found(house: House, ask: str) -> None:
    """Every question about an item that is not stored has the same answer."""
    with pytest.raises(ItemNotFound, match=NOBODY):
        await getattr(house.engine.desk, ask)(NOBODY)


@pytest.mark.parametrize("ask", ["queue", "resume"])
async def test_unknown_queue_is_refused(house: House, ask: str) -> None:
    """Every question about a queue that is not configured has the same answer."""
    with pytest.raises(UnknownQueue, match="nowhere"):
        await getattr(house.engine.desk, ask)("nowhere")
    with pytest.raises(UnknownQueue):
        await house.engine.desk.pause("nowhere", None)
    with pytest.raises(UnknownQueue):
        await house.engine.desk.list_items("nowhere", None, None, 10)


async def test_payload_comes_back_byte_for_byte(house: House) -> None:
    """What a caller sent is what it can read, whatever bytes they are."""
    payload = bytes(range(256)) * 3
    item_id = await house.submit(payload)

    body = await house.engine.desk.payload(item_id)

    assert (body.content, body.content_type) == (payload, "text/plain")


async def test_result_is_not_finished_before_the_end(house: House) -> None:
    """A result is asked for too early, and then it is there."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    item_id = await house.submit(b"a")
    await asyncio.wait_for(gate.reached.wait(), 10)
    with pytest.raises(NotFinished, match="leased"):
        await house.engine.desk.result(item_id)

    gate.opened.set()
    await house.recorder.wait_for(ItemSucceeded)

    assert (await house.engine.desk.result(item_id)).content == b"passed the gate"


async def test_item_that_ends_while_it_is_looked_at_has_its_result(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody hears that there is none who comes between the two looks that it takes."""
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    item_id = await house.submit(b"a")
    get = house.store.get

    async def get_after_its_end(asked: str) -> ItemRecord | None:
        gate.opened.set()
        await house.recorder.wait_for(ItemSucceeded)
        return await get(asked)

    monkeypatch.setattr(house.store, "get", get_after_its_end)

    assert (await house.engine.desk.result(item_id)).content == b"passed the gate"


async def test_item_may_end_without_a_result(house: House) -> None:
    """A handler that answers nothing leaves no result, and a dead letter has none either."""
    house.handlers["work"].script(b"a", Complete(None))
    house.handlers["work"].script(b"b", GiveUp("no"))
    silent, dead = await house.submit(b"a"), await house.submit(b"b")
    await house.recorder.wait_for(ItemSucceeded)
    await house.recorder.wait_for(ItemDied)

    for item_id in (silent, dead):
        with pytest.raises(NoResult):
            await house.engine.desk.result(item_id)


async def test_cancel_frees_the_place_and_is_told_once(make_house: MakeHouse) -> None:
    """A cancelled item makes room for another one; cancelling it again changes nothing."""
    house = await make_house(QueueConfig("work", capacity_items=1, retry=FAST_RETRY))
    item_id = await house.submit(b"a", delay_seconds=3600)

    first = await house.engine.desk.cancel(item_id)
    again = await house.engine.desk.cancel(item_id)
    await house.submit(b"b")

    assert first.record.state is again.record.state is State.CANCELLED
    assert [event.item_id for event in house.recorder.of(ItemCancelled)] == [item_id]


async def test_cancelled_retry_tells_its_attempts(make_house: MakeHouse) -> None:
    """An item that is cancelled between two attempts takes the first one's count along."""
    slow = RetryPolicy(initial_seconds=60, floor_seconds=50, cap_seconds=60)
    house = await make_house(QueueConfig("work", retry=slow))
    house.handlers["work"].script(b"a", ValueError("not now"))
    item_id = await house.submit(b"a")
    while (await house.record(item_id)).shown_state is not ShownState.RETRYING:
        await asyncio.sleep(0)

    await house.engine.desk.cancel(item_id)

    assert [event.attempts for event in house.recorder.of(ItemCancelled)] == [1]


async def test_ended_item_cannot_be_cancelled(house: House) -> None:
    """What has ended stays as it ended."""
    item_id = await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    with pytest.raises(NotCancellable) as refused:
        await house.engine.desk.cancel(item_id)

    assert refused.value.state == "succeeded"


async def test_queues_come_in_the_order_of_configuration(make_house: MakeHouse) -> None:
    """People find their queues where they wrote them, with counts that know the last submission."""
    house = await make_house(
        QueueConfig("zebra", retry=FAST_RETRY), QueueConfig("ant", retry=FAST_RETRY)
    )
    await house.engine.desk.pause("ant", 60)
    await house.submit(b"a", queue="ant")

    async def is_known() -> bool:
        # A machine too busy to count cheaply shows older counts for some seconds.
        _, ant = await house.engine.desk.queues()
        return ant.snapshot.counts[ShownState.READY] == 1

    await wait_until(is_known, 2 * REUSE_CAP_SECONDS)
    zebra, ant = await house.engine.desk.queues()

    assert (zebra.config.name, ant.config.name) == ("zebra", "ant")
    assert ant.snapshot.counts[ShownState.READY] == 1
    assert zebra.pause is None
    assert ant.pause is not None
    assert ant.pause.expires_in_seconds is not None
    assert 0 < ant.pause.expires_in_seconds <= 60


async def test_items_are_listed_in_pages_by_state(house: House) -> None:
    """A list goes on where it stopped, and ends."""
    ids = [await house.submit(b"%d" % n, delay_seconds=3600) for n in range(5)]
    await house.submit(b"now")
    await house.recorder.wait_for(ItemSucceeded)
    desk = house.engine.desk

    first = await desk.list_items("work", ShownState.SCHEDULED, None, 3)
    second = await desk.list_items("work", ShownState.SCHEDULED, first.next_after, 3)

    assert [view.record.id for view in (*first.items, *second.items)] == ids
    assert {view.waiting_for for view in first.items} == {"delay"}
    assert second.next_after is None


async def test_foreign_cursor_is_refused(house: House) -> None:
    """A page can only follow a page."""
    with pytest.raises(InvalidRequest, match="after"):
        await house.engine.desk.list_items("work", None, "yesterday", 3)


async def test_pause_and_resume_are_told(house: House) -> None:
    """Whoever pauses a queue leaves a trace of it."""
    await house.engine.desk.pause("work", 60)
    await house.engine.desk.resume("work")
    await house.engine.desk.resume("work")

    assert [event.expires_in_seconds for event in house.recorder.of(QueuePaused)] == [60]
    assert {event.queue for event in house.recorder.of(QueueResumed)} == {"work"}


async def test_deleted_dead_letters_are_gone_and_told(house: House) -> None:
    """An operator's purge removes dead letters and nothing else."""
    house.handlers["work"].script(b"a", GiveUp("no"))
    dead = await house.submit(b"a")
    await house.recorder.wait_for(ItemDied)
    kept = await house.submit(b"b", delay_seconds=3600)

    changed = await house.engine.desk.delete_dead(Selection(queue="work"), dry_run=False)

    assert (changed.count, changed.remaining) == (1, 0)
    (purged,) = house.recorder.of(DeadItemsPurged)
    assert (purged.count, purged.source) == (1, "operator")
    assert await house.store.get(dead) is None
    assert (await house.record(kept)).state is State.QUEUED


async def test_dead_letters_are_listed_oldest_first(house: House) -> None:
    """Dead letters come in the order in which they died, each with its last error."""
    ids = []
    for n in range(3):
        house.handlers["work"].script(b"%d" % n, GiveUp(f"no {n}"))
        ids.append(await house.submit(b"%d" % n))
        await house.recorder.wait_for(ItemDied, n + 1)

    page = await house.engine.desk.list_dead(Selection(reason="permanent"), None, 10)

    assert [view.record.id for view in page.items] == ids
    errors = [view.record.last_error for view in page.items]
    assert [error.detail for error in errors if error is not None] == ["no 0", "no 1", "no 2"]
