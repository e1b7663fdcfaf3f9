"""Engines on one database that are configured differently, as they are while a change rolls out."""

from __future__ import annotations

import asyncio
from functools import partial

import asyncpg
import pytest
from msgspec.structs import replace

from tests.engine import script
from tests.engine.pods import WORK, Pod, make_url
from tests.engine.script import ScriptedHandler
from tests.waiting import wait_until
from tirelessd.core.clock import SystemClock
from tirelessd.core.errors import NotCancellable, QueueFull, StartError, UnknownQueue
from tirelessd.core.events import (
    BackgroundTaskSucceeded,
    ItemDied,
    ItemSucceeded,
    LeaseReclaimed,
    StoreOperationFinished,
    UnconfiguredItemsFound,
)
from tirelessd.core.item import Selection, State
from tirelessd.core.queue import QueueConfig, Retention
from tirelessd.engine import upkeep

OTHER = QueueConfig("other", slots=1)
INTAKE = replace(WORK, slots=0)


@pytest.fixture(autouse=True)
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every process looks at once a second or two, it looks at all the time."""
    for name in ("PAUSES_SECONDS", "RECLAIM_SECONDS", "SNAPSHOT_SECONDS"):
        monkeypatch.setattr(upkeep, name, 0.05)


@pytest.fixture
async def url() -> str:
    """A database of the test's own."""
    return await make_url()


class FastClock(SystemClock):
    """The clock of a host that is half a minute ahead."""

    def wall(self) -> float:
        """Epoch seconds, as that host has them."""
        return super().wall() + 30.0


class UnimportableHandler(ScriptedHandler):
    """A handler whose module is not there."""

    async def open(self) -> None:
        """Not possible here."""
        raise StartError("no module of that name")


def is_reclaim(event: BackgroundTaskSucceeded) -> bool:
    """Whether it is of a look for leases that have ended."""
    return event.task == "reclaim"


async def change(url: str, sql: str, *values: object) -> None:
    """Change rows behind everybody's back."""
    connection = await asyncpg.connect(url)
    await connection.execute(sql, *values)
    await connection.close()


async def is_state(pod: Pod, item_id: str, state: State) -> bool:
    """Whether an item is there by now."""
    return (await pod.record(item_id)).state is state


async def leased(url: str) -> int:
    """How many items are under way, wherever."""
    connection = await asyncpg.connect(url)
    count = await connection.fetchval("SELECT count(*) FROM items WHERE state = 'leased'")
    await connection.close()
    return int(count)


async def is_idle(url: str) -> bool:
    """Whether nothing is under way anywhere."""
    return await leased(url) == 0


async def has_paused(pod: Pod, *, is_paused: bool) -> bool:
    """Whether a pod obeys, and says so."""
    view = await pod.engine.desk.queue("work")
    shown = pod.engine.status().pools["work"].is_paused
    return (view.pause is not None) is shown is is_paused


async def test_queue_that_a_pod_does_not_know_is_refused_and_told_of(url: str) -> None:
    """It takes no items for it, shows those of others, and warns once of what it cannot do."""
    knows, other = Pod(url, queue=INTAKE), Pod(url, queue=OTHER)

    async with knows.at_work(), other.at_work():
        with pytest.raises(UnknownQueue):
            await other.submit(b"x")
        ids = [await knows.submit(b"%d" % number) for number in range(3)]
        (found,) = await other.recorder.wait_for(UnconfiguredItemsFound)
        await other.recorder.wait_for(StoreOperationFinished, 1, lambda it: it.operation == "claim")
        view = await other.engine.desk.item(ids[0])

    assert (list(found.queues), view.waiting_for) == (["work"], "unconfigured")
    assert len(other.recorder.of(UnconfiguredItemsFound)) == 1
    assert knows.recorder.of(UnconfiguredItemsFound) == []


async def test_lost_lease_of_an_unknown_queue_is_handed_back(url: str) -> None:
    """Whoever does not know how often an item may be tried does not end it for that."""
    patient = replace(WORK.retry, max_attempts=40, max_lost_leases=10)
    known = replace(WORK, lease_seconds=0.3, retry=patient)
    knows, other, again = Pod(url, queue=known), Pod(url, queue=OTHER), Pod(url, queue=known)

    async with other.at_work():
        await knows.start()
        await knows.fill()
        await change(url, "UPDATE items SET attempts = 25, lost_leases = 5")
        await knows.crash()
        await wait_until(partial(is_idle, url), 10)
        await change(url, "UPDATE items SET due_at = first_due_at")
        async with again.at_work():
            await again.recorder.wait_for(ItemSucceeded, WORK.slots)

    assert other.recorder.of(ItemDied) == []
    assert {attempt for _, attempt in again.handlers["work"].calls} == {26}


async def test_limit_of_attempts_is_that_of_the_pod_that_attempts(url: str) -> None:
    """A lowered limit takes no attempt from an item: the next one is its last."""
    lowered = Pod(url, queue=replace(WORK, retry=replace(WORK.retry, max_attempts=2)))
    lowered.handlers["work"].script(b"bad", ValueError("no"))
    intake = Pod(url, queue=INTAKE)

    async with intake.at_work():
        ids = [await intake.submit(payload) for payload in (b"bad", b"good")]
        await change(url, "UPDATE items SET attempts = 7")
        async with lowered.at_work():
            (died,) = await lowered.recorder.wait_for(ItemDied)
            await lowered.recorder.wait_for(ItemSucceeded)

    assert (died.item_id, died.attempts, died.reason) == (ids[0], 8, "max_attempts")


async def test_lease_is_as_long_as_its_holder_says(url: str) -> None:
    """A pod with a shorter lease takes nothing over from one with a longer."""
    holder = Pod(url, queue=replace(WORK, lease_seconds=30.0))
    hasty = Pod(url, queue=replace(WORK, lease_seconds=0.1))

    async with holder.at_work():
        await holder.fill()
        async with hasty.at_work():
            await hasty.recorder.wait_for(BackgroundTaskSucceeded, 5, is_reclaim)

    assert hasty.recorder.of(LeaseReclaimed) == []


async def test_pause_and_its_end_reach_every_pod(url: str) -> None:
    """What one is told, another obeys and shows; intake goes on, and so does the work then."""
    told, other = Pod(url, queue=INTAKE), Pod(url)

    async with told.at_work(), other.at_work():
        await told.engine.desk.pause("work", None)
        await wait_until(partial(has_paused, other, is_paused=True), 10)
        item_id = await other.submit(b"x")
        held = await other.engine.desk.item(item_id)
        await told.engine.desk.resume("work")
        await other.recorder.wait_for(ItemSucceeded)
        await wait_until(partial(has_paused, other, is_paused=False), 10)

    assert held.waiting_for == "paused"


async def test_item_under_way_elsewhere_cannot_be_cancelled(url: str) -> None:
    """Whoever is asked, the answer is the same: it is leased, and it ends where it runs."""
    told, other = Pod(url, queue=INTAKE), Pod(url)

    async with told.at_work(), other.at_work():
        await other.fill()
        page = await told.engine.desk.list_items("work", State.LEASED, None, 1)
        with pytest.raises(NotCancellable, match="leased"):
            await told.engine.desk.cancel(page.items[0].record.id)
        for gate in other.gates:
            gate.opened.set()
        await other.recorder.wait_for(ItemSucceeded, WORK.slots)


async def test_any_pod_redrives_what_another_does(url: str) -> None:
    """Also one that does not know the queue: it is attempted by those that do."""
    told, other = Pod(url, queue=OTHER), Pod(url)
    other.handlers["work"].script(b"x", *(ValueError("no") for _ in range(3)))

    async with told.at_work(), other.at_work():
        item_id = await other.submit(b"x")
        await other.recorder.wait_for(ItemDied)
        changed = await told.engine.desk.redrive(Selection(), dry_run=False)
        await other.recorder.wait_for(ItemSucceeded)
        assert await is_state(told, item_id, State.SUCCEEDED)

    assert changed.counts == {"work": 1}


async def test_smaller_capacity_binds_only_its_own_pod(url: str) -> None:
    """It counts what others accepted, and refuses; they go on until their own is reached."""
    small, large = (Pod(url, queue=replace(INTAKE, capacity_items=n)) for n in (3, 5))

    async def is_full(pod: Pod) -> bool:
        return pod.engine.intake.retry_after_seconds("work") > 1

    async with small.at_work(), large.at_work():
        for number in range(3):
            await large.submit(b"%d" % number)
        await wait_until(partial(is_full, small), 10)
        with pytest.raises(QueueFull):
            await small.submit(b"x")
        await large.submit(b"x")


async def test_shortest_retention_is_what_counts(url: str) -> None:
    """Every pod deletes by its own configuration, whoever did the item."""
    long, short = Pod(url), Pod(url, queue=INTAKE)
    gone_at_once = replace(INTAKE, retention=Retention(succeeded_seconds=0.0))

    async with long.at_work(), short.at_work():
        item_id = await long.submit(b"x")
        await long.recorder.wait_for(ItemSucceeded)
        await long.store.purge([WORK], 100)
        kept = await long.store.get(item_id)
        await short.store.purge([gone_at_once], 100)
        gone = await long.store.get(item_id)

    assert (kept is not None, gone) == (True, None)


async def test_process_without_slots_needs_no_handler(url: str) -> None:
    """It accepts for a queue whose handler it could not even import."""
    intake, slots = Pod(url, queue=INTAKE), Pod(url)
    intake.handlers["work"] = UnimportableHandler()

    async with intake.at_work(), slots.at_work():
        await asyncio.gather(*(intake.submit(b"%d" % number) for number in range(3)))
        await slots.recorder.wait_for(ItemSucceeded, 3)

    assert intake.handlers["work"].calls == []


async def test_slots_are_each_pods_own(url: str) -> None:
    """What a queue has at once is the sum of what its pods have, whatever each of them has."""
    two, one = Pod(url), Pod(url, queue=replace(WORK, slots=1))
    one.gates = one.gates[:1]

    async with two.at_work():
        await two.fill()
        async with one.at_work():
            await one.fill()
            running = await leased(url)

    assert running == WORK.slots + 1


async def test_one_key_at_two_pods_at_once_is_one_item(url: str) -> None:
    """Both callers hear the same id, though the pods are configured differently."""
    one, two = Pod(url), Pod(url, queue=replace(WORK, idempotency_seconds=5.0, slots=1))

    async with one.at_work(), two.at_work():
        ids = await asyncio.gather(
            *(pod.submit(b"x", key="order-1") for _ in range(5) for pod in (one, two))
        )
        await wait_until(partial(is_state, one, ids[0], State.SUCCEEDED), 10)

    assert len(set(ids)) == 1
    assert one.handlers["work"].calls + two.handlers["work"].calls == [(b"x", 1)]


async def test_deadline_is_that_of_the_pod_that_accepted(url: str) -> None:
    """It goes with the item; who attempts it has no say in it."""
    short = replace(INTAKE, retry=replace(WORK.retry, deadline_seconds=60.0))
    accepts, attempts = Pod(url, queue=short), Pod(url)
    attempts.handlers["work"].script(b"x", ValueError("no"))

    async with accepts.at_work(), attempts.at_work():
        record = await attempts.record(await accepts.submit(b"x"))

    assert record.deadline_at - record.accepted_at == pytest.approx(60.0)


async def test_clock_of_a_pod_decides_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is half a minute ahead takes no lease away, and no item before it is due."""
    right, ahead = Pod(url), Pod(url, queue=replace(WORK, slots=1))

    async with right.at_work():
        await right.fill()
        monkeypatch.setattr(script, "SystemClock", FastClock)
        async with ahead.at_work():
            item_id = await right.submit(b"later", delay_seconds=20.0)
            seen = len(ahead.recorder.of(BackgroundTaskSucceeded, is_reclaim))
            await ahead.recorder.wait_for(BackgroundTaskSucceeded, seen + 3, is_reclaim)
            told = (await ahead.store.snapshot(["work"])).ahead_seconds
            assert await is_state(right, item_id, State.QUEUED)

    assert ahead.recorder.of(LeaseReclaimed) == []
    assert told == pytest.approx(-30.0, abs=1.0)
