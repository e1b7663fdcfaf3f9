"""What intake accepts, replays and refuses."""

from __future__ import annotations

import asyncio
from typing import Any, Never

import pytest

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, Gate, House
from tirelessd.core.errors import (
    Draining,
    KeyConflict,
    QueueFull,
    StoreUnavailable,
    UnknownQueue,
    UnstorableValue,
)
from tirelessd.core.events import ItemAccepted, ItemSucceeded, StoreFailed
from tirelessd.core.item import State
from tirelessd.core.queue import QueueConfig
from tirelessd.engine.intake import Options, Submission
from tirelessd.store.base import Accepted, Replayed


def keyed(payload: bytes, key: str) -> Submission:
    """A submission with an idempotency key."""
    return Submission(payload, "text/plain", options=Options(key=key))


async def test_unknown_queue_is_refused(house: House) -> None:
    """Queues exist only by configuration."""
    with pytest.raises(UnknownQueue, match="nowhere"):
        await house.submit(b"a", queue="nowhere")


async def test_same_key_and_body_is_the_same_item(house: House) -> None:
    """A repeated submission is answered with the first one's id and its state now."""
    first = await house.engine.intake.accept("work", keyed(b"a", "k"))
    await house.recorder.wait_for(ItemSucceeded)

    second = await house.engine.intake.accept("work", keyed(b"a", "k"))

    assert isinstance(second, Replayed)
    assert (second.id, second.state) == (first.id, State.SUCCEEDED)
    assert len(house.recorder.of(ItemAccepted)) == 1


async def test_same_key_with_another_body_is_refused(house: House) -> None:
    """A key stands for one request, body and options."""
    await house.engine.intake.accept("work", keyed(b"a", "k"))

    with pytest.raises(KeyConflict):
        await house.engine.intake.accept("work", keyed(b"b", "k"))


async def test_concurrent_posts_of_one_key_make_one_item(house: House) -> None:
    """Twenty submissions of one key at once are one item, in one commit or many."""
    answers = await asyncio.gather(
        *(house.engine.intake.accept("work", keyed(b"a", "k")) for _ in range(20))
    )

    assert len({answer.id for answer in answers}) == 1
    assert sum(isinstance(answer, Accepted) for answer in answers) == 1


async def test_full_queue_refuses_and_counts_exactly(make_house: MakeHouse) -> None:
    """A queue never holds more unfinished items than its capacity; an end makes room."""
    house = await make_house(QueueConfig("work", slots=1, capacity_items=3, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"0", gate)
    answers = await asyncio.gather(
        *(house.submit(b"%d" % n) for n in range(10)), return_exceptions=True
    )

    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == 7
    assert all(isinstance(answer, QueueFull) for answer in refused)

    gate.opened.set()
    await house.recorder.wait_for(ItemSucceeded, 3)
    await house.submit(b"room again")


async def test_slice_takes_what_fits(make_house: MakeHouse) -> None:
    """Of a slice that exceeds the capacity the first items are accepted, the others refused."""
    house = await make_house(QueueConfig("work", slots=1, capacity_items=2, retry=FAST_RETRY))
    house.handlers["work"].script(b"0", Gate())

    answers = await house.engine.intake.accept_slice(
        "work", [Submission(b"%d" % n, "text/plain") for n in range(4)]
    )

    assert [type(answer) for answer in answers] == [Accepted, Accepted, QueueFull, QueueFull]


async def test_replay_takes_no_place_from_what_is_new(make_house: MakeHouse) -> None:
    """Who sends a slice again with a line more gets it in where there is room for one."""
    house = await make_house(QueueConfig("work", slots=1, capacity_items=3, retry=FAST_RETRY))
    house.handlers["work"].script(b"0", Gate())
    lines = [keyed(b"%d" % number, f"key-{number}") for number in range(4)]
    first = await house.engine.intake.accept_slice("work", lines[:2])

    again = await house.engine.intake.accept_slice("work", lines)

    assert [type(answer) for answer in first] == [Accepted, Accepted]
    assert [type(answer) for answer in again] == [Replayed, Replayed, Accepted, QueueFull]
    with pytest.raises(QueueFull):
        await house.submit(b"more")


async def test_replay_is_answered_when_full_and_when_draining(make_house: MakeHouse) -> None:
    """A caller that repeats itself learns of its item even when nothing new is taken."""
    house = await make_house(QueueConfig("work", slots=1, capacity_items=1, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    first = await house.engine.intake.accept("work", keyed(b"a", "k"))

    when_full = await house.engine.intake.accept("work", keyed(b"a", "k"))
    house.engine.intake.close()
    when_draining = await house.engine.intake.accept("work", keyed(b"a", "k"))

    assert first.id == when_full.id == when_draining.id
    with pytest.raises(Draining):
        await house.submit(b"new")
    gate.opened.set()


async def test_refusal_waits_for_no_store_that_is_silent(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no room, whatever the key stands for: who brings it hears so in time."""
    house = await make_house(QueueConfig("work", slots=1, capacity_items=1, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"a", gate)
    await house.submit(b"a")

    async def say_nothing(_items: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(house.store, "find_keys", say_nothing)

    async with asyncio.timeout(5):
        with pytest.raises(QueueFull):
            await house.engine.intake.accept("work", keyed(b"b", "k"))
    gate.opened.set()


async def test_capacity_survives_a_restart(make_house: MakeHouse) -> None:
    """Items that wait in the store take their places again at the next start."""
    house = await make_house(QueueConfig("work", slots=1, capacity_items=2, retry=FAST_RETRY))
    await house.engine.desk.pause("work", None)
    await house.submit(b"a")
    await house.submit(b"b")
    await house.crash()

    await house.start()

    with pytest.raises(QueueFull):
        await house.submit(b"c")


@pytest.mark.parametrize(
    ("error", "key", "is_outage"),
    [
        (StoreUnavailable("somebody keeps the key", "busy"), "k", False),
        (UnstorableValue("no such value"), None, False),
        (StoreUnavailable("the table is locked", "busy"), None, True),
        (StoreUnavailable("the server is gone", "connection"), "k", True),
    ],
)
async def test_what_one_caller_meets_closes_nothing(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    error: StoreUnavailable,
    key: str | None,
    *,
    is_outage: bool,
) -> None:
    """A key that a stopped process keeps is no outage: claims go on and the pod stays ready."""

    async def refuse(*_: Any) -> Never:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(house.store, "enqueue", refuse)
        with pytest.raises(StoreUnavailable):
            await house.submit(b"a", key=key)

    assert bool(house.recorder.of(StoreFailed)) is is_outage
