"""Several processes on one database: who gets what, and whose word counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.clock import ManualClock
from tests.store.shelf import (
    LEASE_SECONDS,
    Shelf,
    Slots,
    ids_of,
    key,
    lose,
    new_item,
    repeated,
    retry,
    succeed,
)
from tests.store.still import StillDatabase, StillPools
from tirelessd.core.errors import StoreUnavailable, UnstorableValue
from tirelessd.core.item import Selection, State
from tirelessd.store.base import Accepted
from tirelessd.store.postgres import accept
from tirelessd.store.postgres.store import PostgresStore


class Pods:
    """Two processes on one database, at one time."""

    def __init__(self) -> None:
        database = StillDatabase()
        self.clock = ManualClock()
        self.one, self.two = (
            Shelf(lambda clock: PostgresStore(StillPools(database, clock), clock=clock), self.clock)
            for _ in range(2)
        )


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    """Two open stores on one empty database."""
    pods = Pods()
    await pods.one.store.open()
    await pods.two.store.open()
    yield pods
    await pods.one.store.close()
    await pods.two.store.close()


async def test_pods_share_a_store_by_its_label(pods: Pods) -> None:
    """The database names itself, whoever asks."""
    assert pods.one.store.label == pods.two.store.label
    assert pods.one.store.label.startswith("postgresql-")


async def test_two_pods_that_get_one_key_at_once_make_one_item(pods: Pods) -> None:
    """In either order, batch against batch, without waiting for each other crosswise."""
    texts = [f"k{i}" for i in range(30)]
    calls = [
        pod.store.enqueue([new_item(key=key(text)) for text in order])
        for pod, order in ((pods.one, texts), (pods.two, texts[::-1]))
        for _ in range(3)
    ]

    answers = [answer for answers in await asyncio.gather(*calls) for answer in answers]

    accepted = [answer.id for answer in answers if isinstance(answer, Accepted)]
    assert len(accepted) == len(texts)
    assert {answer.id for answer in answers} == set(accepted)


async def test_key_that_expires_while_it_is_looked_up_is_taken(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was known when the item came, and not any more when it was asked whose it is."""
    [first] = await pods.one.put(new_item(key=key("k")))
    known = accept._known  # noqa: SLF001

    async def look_too_late(connection: Any, asked: Any) -> Any:
        monkeypatch.setattr(accept, "_known", known)
        await connection.execute("UPDATE idempotency_keys SET expires_at = 0")
        return await known(connection, asked)

    monkeypatch.setattr(accept, "_known", look_too_late)
    [answer] = await pods.two.store.enqueue([new_item(key=key("k"))])

    assert isinstance(answer, Accepted)
    assert answer.id != first


async def test_claims_of_two_pods_share_nothing(pods: Pods) -> None:
    """However many claim at once, each item has one lease, and all are leased."""
    ids = await pods.one.put(*[new_item() for _ in range(200)])

    found = await asyncio.gather(
        *[pod.take(limit=9) for _ in range(15) for pod in (pods.one, pods.two)]
    )

    assert sorted(item_id for claims in found for item_id in ids_of(claims)) == sorted(ids)


async def test_pod_reclaims_what_another_left_behind(pods: Pods) -> None:
    """Once the lease has ended, not before, and once only."""
    await pods.one.put(new_item(), new_item())
    claims = await pods.one.take()

    early = await pods.two.store.reclaim(10, LEASE_SECONDS)
    pods.clock.advance(LEASE_SECONDS)
    late = await pods.two.store.reclaim(10, LEASE_SECONDS)
    again = await pods.two.store.reclaim(10, LEASE_SECONDS)

    assert (list(early), list(again)) == ([], [])
    assert sorted(ids_of(late)) == sorted(ids_of(claims))
    assert {claim.attempt for claim in late} == {1}


async def test_renewed_lease_is_not_reclaimed(pods: Pods) -> None:
    """A renewal counts from now, for so long as it says."""
    await pods.one.put(new_item())
    claim = await pods.one.take_one()

    pods.clock.advance(LEASE_SECONDS - 1.0)
    await pods.one.store.renew([claim.lease], 10.0)
    pods.clock.advance(9.0)
    early = await pods.two.store.reclaim(10, LEASE_SECONDS)
    pods.clock.advance(1.0)

    assert list(early) == []
    assert len(await pods.two.store.reclaim(10, LEASE_SECONDS)) == 1


async def test_expired_lease_is_looked_at_again(pods: Pods) -> None:
    """Who could not renew it does, once it can, and keeps it; another one's is taken over."""
    await pods.one.put(new_item(), new_item())
    renewed, lost = await pods.one.take()
    pods.clock.advance(LEASE_SECONDS)

    first = await pods.two.store.reclaim(10, LEASE_SECONDS, seen_seconds=3.0)
    await pods.one.store.renew([renewed.lease], LEASE_SECONDS)
    pods.clock.advance(2.0)
    second = await pods.two.store.reclaim(10, LEASE_SECONDS, seen_seconds=3.0)
    pods.clock.advance(2.0)
    third = await pods.two.store.reclaim(10, LEASE_SECONDS, seen_seconds=3.0)

    assert (list(first), list(second)) == ([], [])
    assert ids_of(third) == [lost.item.id]


async def test_what_lies_between_looks_far_apart_was_not_seen(pods: Pods) -> None:
    """Nor could anybody renew, perhaps, while nobody could look."""
    await pods.one.put(new_item())
    await pods.one.take_one()
    pods.clock.advance(LEASE_SECONDS)
    await pods.two.store.reclaim(10, LEASE_SECONDS, seen_seconds=3.0)

    pods.clock.advance(60.0)

    assert list(await pods.two.store.reclaim(10, LEASE_SECONDS, seen_seconds=3.0)) == []


async def test_zombie_settles_nothing_and_overwrites_nothing(pods: Pods) -> None:
    """Whoever slept through its lease is refused, whatever became of the item meanwhile."""
    [item_id] = await pods.one.put(new_item())
    zombie = await pods.one.take_one()
    pods.clock.advance(LEASE_SECONDS)
    [taken] = await pods.two.store.reclaim(10, LEASE_SECONDS)
    while_leased = await pods.one.settle(succeed(zombie, b"late"))
    await pods.two.settle(lose(taken))
    while_queued = await pods.one.settle(repeated(succeed(zombie, b"late")))
    [again] = await pods.two.take(recovered=1)
    await pods.two.settle(succeed(again, b"good"))

    once_ended = await pods.one.settle(retry(zombie))

    body = await pods.one.store.result(item_id)
    assert (while_leased, while_queued, once_ended) == ([False], [False], [False])
    assert list(await pods.one.store.renew([zombie.lease], LEASE_SECONDS)) == [False]
    assert body is not None
    assert body.content == b"good"
    assert (await pods.one.record(item_id)).state is State.SUCCEEDED


async def test_settlement_and_reclaim_at_once_have_one_winner(pods: Pods) -> None:
    """A completion that comes as the lease is taken over is written, or refused; never both."""
    await pods.one.put(*[new_item() for _ in range(40)])
    claims = await pods.one.take()
    pods.clock.advance(LEASE_SECONDS)

    *held, taken = await asyncio.gather(
        *[pods.one.settle(succeed(claim)) for claim in claims[::2]],
        *[pods.one.settle(retry(claim)) for claim in claims[1::2]],
        pods.two.store.reclaim(100, LEASE_SECONDS),
    )

    lost = set(ids_of(taken))  # type: ignore[arg-type]
    won = {
        claim.item.id
        for claim, [is_held] in zip([*claims[::2], *claims[1::2]], held, strict=True)
        if is_held
    }
    assert won | lost == set(ids_of(claims))
    assert not won & lost


async def test_hand_off_is_the_pods_that_accepted(pods: Pods) -> None:
    """Its lease belongs to it alone, until it ends."""
    slots = Slots(free=1)
    await pods.one.store.enqueue([new_item()], slots)

    elsewhere = await pods.two.take()

    assert elsewhere == []
    assert [lease.token for lease in await pods.one.store.leases()] == [slots.claims[0].lease.token]
    assert list(await pods.two.store.leases()) == []
    assert await pods.one.settle(succeed(slots.claims[0])) == [True]


async def test_item_that_waits_anywhere_is_not_overtaken(pods: Pods) -> None:
    """What another pod accepted is seen by this one's hand-off."""
    slots = Slots(free=1)
    [first] = await pods.one.put(new_item())

    await pods.two.store.enqueue([new_item()], slots)

    assert slots.claims == []
    assert ids_of(await pods.two.take(limit=1)) == [first]


async def test_pause_holds_for_every_pod(pods: Pods) -> None:
    """At once, for claims and for hand-offs."""
    slots = Slots(free=1)
    await pods.one.store.pause("work", None)

    await pods.two.store.enqueue([new_item()], slots)

    assert (slots.free, await pods.two.take()) == (1, [])
    assert [pause.queue for pause in await pods.two.store.pauses()] == ["work"]


async def test_operators_of_two_pods_change_each_dead_letter_once(pods: Pods) -> None:
    """Redrives and deletions side by side pass over what the other has."""
    await pods.one.bury(*[new_item() for _ in range(50)])

    changes = await asyncio.gather(
        pods.one.store.redrive(Selection(), 100),
        pods.two.store.redrive(Selection(), 100),
        pods.one.store.delete_dead(Selection(), 100),
        pods.two.store.delete_dead(Selection(), 100),
    )

    assert sum(change.count for change in changes) == 50


async def test_cancels_crosswise_end_each_item_once(pods: Pods) -> None:
    """Two pods that cancel the same items in opposite order never wait for each other."""
    ids = await pods.one.put(*[new_item() for _ in range(40)])

    answers = await asyncio.gather(
        *[pods.one.store.cancel(item_id) for item_id in ids],
        *[pods.two.store.cancel(item_id) for item_id in reversed(ids)],
    )

    assert [answer.state for answer in answers] == [State.CANCELLED] * 80
    assert sum(answer.is_changed for answer in answers) == 40


@pytest.mark.parametrize("bad", [{"content_type": "a\0b"}, {"queue": "\ud800"}])
async def test_text_that_postgresql_cannot_hold_fails_nobody_else(
    pods: Pods, bad: dict[str, str]
) -> None:
    """A NUL or half a surrogate pair is its own caller's error."""
    good = [new_item() for _ in range(4)]
    calls = [pods.one.store.enqueue([item]) for item in good]
    calls.insert(2, pods.one.store.enqueue([new_item(**bad)]))  # type: ignore[arg-type]

    answers = await asyncio.gather(*calls, return_exceptions=True)

    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(failure) for failure in failures] == [UnstorableValue]
    assert len(await pods.one.take()) == 4


async def test_nobody_reclaims_until_holders_could_renew_after_an_outage(pods: Pods) -> None:
    """For one lease after the database was out of reach, everybody keeps what he has."""
    await pods.one.put(new_item())
    await pods.one.take_one()
    pools = pods.two.store._pools  # type: ignore[attr-defined]  # noqa: SLF001
    with pools.out_of_reach(), pytest.raises(StoreUnavailable):
        await pods.two.store.probe()
    pods.clock.advance(10 * LEASE_SECONDS)

    await pods.two.store.probe()
    at_once = await pods.two.store.reclaim(10, LEASE_SECONDS)
    pods.clock.advance(LEASE_SECONDS)

    assert list(at_once) == []
    assert len(await pods.two.store.reclaim(10, LEASE_SECONDS)) == 1


async def test_marks_of_processes_that_are_gone_are_deleted(pods: Pods) -> None:
    """After a week without a commit; whoever comes back after all begins a mark anew."""
    await pods.two.put(new_item())
    pods.clock.advance(8 * 86_400.0)

    await pods.one.store.purge([], 10)

    async with pods.one.store._pools.reads() as connection:  # type: ignore[attr-defined]  # noqa: SLF001
        lanes = await connection.fetch("SELECT lane FROM commits")
    assert [lane for (lane,) in lanes] == ["upkeep"]
    assert len(await pods.two.put(new_item())) == 1
