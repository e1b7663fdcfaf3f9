"""The rounds: what waits too long expires, what is kept too long is purged."""

from __future__ import annotations

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, House
from tests.waiting import wait_until
from tirelessd.core.errors import AttemptError, GiveUp
from tirelessd.core.events import (
    AttemptFinished,
    DeadItemsPurged,
    ItemDied,
    ItemsRedriven,
    ItemSucceeded,
    UnconfiguredItemsFound,
)
from tirelessd.core.item import Selection, State
from tirelessd.core.outcome import DeadReason
from tirelessd.core.queue import QueueConfig, Retention, RetryPolicy


async def test_waiting_item_expires_at_its_deadline(make_house: MakeHouse) -> None:
    """An item that waits for its backoff ends dead when its deadline passes first."""
    house = await make_house(QueueConfig("work", retry=RetryPolicy(max_attempts=9)))
    house.handlers["work"].script(b"a", AttemptError("http_5xx", "no", status=503))
    await house.engine.desk.pause("work", None)
    item_id = await house.submit(b"a", deadline_seconds=0.1)

    (died,) = await house.recorder.wait_for(ItemDied)

    assert (died.item_id, died.reason, died.attempts) == (item_id, DeadReason.EXPIRED, 0)
    assert (await house.record(item_id)).dead_reason == "expired"


async def test_expired_item_gives_its_place_back(make_house: MakeHouse) -> None:
    """Capacity is for items that have not ended."""
    house = await make_house(QueueConfig("work", capacity_items=1, retry=FAST_RETRY))
    await house.engine.desk.pause("work", None)
    await house.submit(b"a", deadline_seconds=0.05)
    await house.recorder.wait_for(ItemDied)

    item_id = await house.submit(b"b")

    assert (await house.record(item_id)).state is State.QUEUED


async def test_old_dead_letters_are_purged_and_counted(make_house: MakeHouse) -> None:
    """A dead letter that outlived its retention is deleted, and somebody is told."""
    keep_nothing = Retention(dead_seconds=0.01, succeeded_seconds=0.01)
    house = await make_house(QueueConfig("work", retention=keep_nothing, retry=FAST_RETRY))
    house.handlers["work"].script(b"a", GiveUp("no"))
    item_id = await house.submit(b"a")
    await house.recorder.wait_for(ItemDied)

    async def is_purged() -> bool:
        await house.engine._upkeep.purge()  # noqa: SLF001  (its round comes every ten seconds)
        return await house.store.get(item_id) is None

    await wait_until(is_purged, 10)

    (purged,) = house.recorder.of(DeadItemsPurged)
    assert (purged.queue, purged.count, purged.source) == ("work", 1, "ttl")


async def test_items_of_a_removed_queue_are_kept_and_told_of(make_house: MakeHouse) -> None:
    """A queue that is no longer configured keeps its items, readable and untouched."""
    house = await make_house(
        QueueConfig("work", retry=FAST_RETRY), QueueConfig("old", retry=FAST_RETRY)
    )
    await house.engine.desk.pause("old", None)
    item_id = await house.submit(b"a", queue="old")
    await house.crash()
    house.queues = [QueueConfig("work", retry=FAST_RETRY)]

    await house.start()

    (found,) = house.recorder.of(UnconfiguredItemsFound)
    view = await house.engine.desk.item(item_id)
    assert (found.count, list(found.queues)) == (1, ["old"])
    assert (view.waiting_for, view.max_attempts) == ("unconfigured", None)


async def test_redriven_item_begins_a_new_generation(house: House) -> None:
    """A redrive renews the attempts and keeps the history."""
    house.handlers["work"].script(b"a", *(ValueError("no") for _ in range(3)))
    item_id = await house.submit(b"a")
    await house.recorder.wait_for(ItemDied)

    changed = await house.engine.desk.redrive(Selection(ids=[item_id]), dry_run=False)
    await house.recorder.wait_for(ItemSucceeded)

    record = await house.record(item_id)
    assert (changed.count, changed.remaining) == (1, 0)
    assert (record.generation, record.attempts, len(record.history)) == (2, 1, 3)
    assert [event.count for event in house.recorder.of(ItemsRedriven)] == [1]
    assert house.recorder.of(AttemptFinished)[-1].generation == 2


async def test_dry_run_changes_nothing(house: House) -> None:
    """Operators can ask how many a redrive or a purge would concern."""
    house.handlers["work"].script(b"a", GiveUp("no"))
    item_id = await house.submit(b"a")
    await house.recorder.wait_for(ItemDied)

    redrive = await house.engine.desk.redrive(Selection(queue="work"), dry_run=True)
    purge = await house.engine.desk.delete_dead(Selection(queue="work"), dry_run=True)

    assert (redrive.count, purge.count) == (1, 1)
    assert (await house.record(item_id)).state is State.DEAD
    assert house.recorder.of(ItemsRedriven) == []
