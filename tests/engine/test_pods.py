"""Several engines on one database: the work is shared, and outlives any of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from msgspec.structs import replace

from tests.engine.pods import WORK, Pod, make_url
from tests.waiting import a_moment, wait_until
from tirelessd.core.errors import QueueFull
from tirelessd.core.events import (
    BackgroundTaskSucceeded,
    ItemSucceeded,
    LateCompletion,
    LeaseReclaimed,
    StoreOperationFinished,
)
from tirelessd.core.item import ShownState, State
from tirelessd.engine import upkeep
from tirelessd.store.base import Snapshot
from tirelessd.store.reuse import REUSE_CAP_SECONDS

FEW = 20


@asynccontextmanager
async def running(one: Pod, two: Pod) -> AsyncIterator[tuple[Pod, Pod]]:
    """Two engines at work; the first one's slots are taken before there is a second."""
    async with one.at_work():
        await one.fill()
        async with two.at_work():
            yield one, two


@pytest.fixture
async def pods() -> AsyncIterator[tuple[Pod, Pod]]:
    """Two running engines; the first one's slots are taken before there is a second."""
    url = await make_url()
    async with running(Pod(url), Pod(url)) as pods:
        yield pods


def is_hint(event: StoreOperationFinished) -> bool:
    """Whether it is of what processes tell each other."""
    return event.operation == "announce"


def is_reclaim(event: BackgroundTaskSucceeded) -> bool:
    """Whether it is of a look for leases that have ended."""
    return event.task == "reclaim"


async def test_item_goes_where_a_slot_is_free(pods: tuple[Pod, Pod]) -> None:
    """What one pod accepts and has no slot for, another one does."""
    one, two = pods

    item_id = await one.submit(b"x")
    await two.recorder.wait_for(ItemSucceeded)

    assert (await one.record(item_id)).state is State.SUCCEEDED
    assert two.handlers["work"].calls == [(b"x", 1)]
    for gate in one.gates:
        gate.opened.set()
    await one.recorder.wait_for(ItemSucceeded, WORK.slots)


async def test_item_waits_for_no_look() -> None:
    """Whoever accepts it tells the others that there is no slot for it here."""
    url = await make_url()

    async with running(Pod(url, poll_seconds=600), Pod(url, poll_seconds=600)) as (one, two):
        for pod in (one, two):
            await pod.recorder.wait_for(StoreOperationFinished, 1, is_hint)
        item_id = await one.submit(b"x")
        await two.recorder.wait_for(ItemSucceeded)

        assert (await one.record(item_id)).state is State.SUCCEEDED
        assert two.handlers["work"].calls == [(b"x", 1)]


async def test_running_attempt_keeps_its_lease_for_as_long_as_it_takes(
    pods: tuple[Pod, Pod],
) -> None:
    """Renewed again and again, it outlasts its lease, and nobody takes it over."""
    one, two = pods
    owned = await one.store.leases()

    await two.recorder.wait_for(BackgroundTaskSucceeded, 3, is_reclaim)
    for gate in one.gates:
        gate.opened.set()

    await one.recorder.wait_for(ItemSucceeded, WORK.slots)
    assert len(owned) == WORK.slots
    assert two.recorder.of(LeaseReclaimed) == []
    assert one.recorder.of(LateCompletion) == []


async def test_work_of_a_pod_that_died_is_done_by_another(pods: tuple[Pod, Pod]) -> None:
    """Nothing accepted is lost; what was under way is done again, and nothing else twice."""
    one, two = pods
    ids = [await pods[number % 2].submit(b"%d" % number) for number in range(20)]

    await one.crash()
    await two.recorder.wait_for(
        ItemSucceeded, 20 + WORK.slots - len(one.recorder.of(ItemSucceeded))
    )

    calls = Counter(payload for pod in pods for payload, _ in pod.handlers["work"].calls)
    assert {(await two.record(item_id)).state for item_id in ids} == {State.SUCCEEDED}
    assert {payload for payload, count in calls.items() if count > 1} <= {
        b"blocker 0",
        b"blocker 1",
    }

    async def are_counted() -> bool:
        counted = (await two.store.snapshot(["work"])).queues["work"]
        return (counted.counts[ShownState.SUCCEEDED], counted.unfinished) == (20 + WORK.slots, 0)

    # A count that took long, for the machine was busy, serves everybody for a while.
    await wait_until(are_counted, REUSE_CAP_SECONDS + 5)


async def test_items_that_others_end_free_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that only accepts does not count for ever what has been done elsewhere."""
    monkeypatch.setattr(upkeep, "SNAPSHOT_SECONDS", 0.05)
    url = await make_url()
    intake = Pod(url, queue=replace(WORK, slots=0, capacity_items=FEW))
    slots = Pod(url)

    async with intake.at_work(), slots.at_work():
        snapshot = intake.store.snapshot

        async def busy_snapshot(queues: Sequence[str]) -> Snapshot:
            counted = await snapshot(queues)
            # Under load something comes in while the store counts, every time.
            with suppress(QueueFull):
                await intake.submit(b"meanwhile")
            return counted

        monkeypatch.setattr(intake.store, "snapshot", busy_snapshot)
        accepted = 0
        async with asyncio.timeout(10):
            while accepted < 3 * FEW:
                with suppress(QueueFull):
                    await intake.submit(b"%d" % accepted)
                    accepted += 1
                await a_moment()
