"""The contract of leases: renewed, released, and taken over from a process that is gone."""

from __future__ import annotations

from tests.store.shelf import LEASE_SECONDS, Shelf, Slots, ids_of, lose, new_item, succeed
from tirelessd.core.item import Lease, ShownState, State


async def test_renewal_tells_which_leases_hold(shelf: Shelf) -> None:
    """A settled lease and an invented one do not."""
    await shelf.put(new_item(), new_item())
    held, settled = await shelf.take()
    await shelf.settle(succeed(settled))
    invented = Lease(held.item.id, "work", held.lease.row, held.lease.token ^ 1)

    answer = await shelf.store.renew([settled.lease, held.lease, invented], LEASE_SECONDS)

    assert list(answer) == [False, True, False]


async def test_released_item_is_due_as_before_and_its_attempt_uncounted(shelf: Shelf) -> None:
    """It is claimed again as though it never had been."""
    [item_id] = await shelf.put(new_item(delay_seconds=1.0))
    shelf.clock.advance(4.0)
    claim = await shelf.take_one()

    released = await shelf.store.release([claim.lease])

    record = await shelf.record(item_id)
    again = await shelf.take_one()
    assert list(released) == [True]
    assert (record.state, record.shown_state) == (State.QUEUED, ShownState.READY)
    assert (record.attempts, record.history) == (0, [])
    assert (again.attempt, again.waited_seconds) == (1, 3.0)


async def test_released_lease_settles_nothing(shelf: Shelf) -> None:
    """Nor can it be released again."""
    await shelf.put(new_item())
    claim = await shelf.take_one()
    await shelf.store.release([claim.lease])

    held = await shelf.settle(succeed(claim))

    assert held == [False]
    assert list(await shelf.store.release([claim.lease])) == [False]
    assert (await shelf.take_one()).attempt == 1


async def test_settled_lease_cannot_be_released(shelf: Shelf) -> None:
    """The end stands."""
    [item_id] = await shelf.put(new_item())
    claim = await shelf.take_one()
    await shelf.settle(succeed(claim))

    released = await shelf.store.release([claim.lease])

    assert list(released) == [False]
    assert (await shelf.record(item_id)).state is State.SUCCEEDED


async def test_leases_of_a_dead_process_are_taken_over(shelf: Shelf) -> None:
    """Still leased, with a fresh token, and the attempt that was lost."""
    [item_id] = await shelf.put(new_item(payload=b"x"))
    former = await shelf.take_one()
    store = await shelf.reopen()
    shelf.clock.advance(LEASE_SECONDS + 1.0)

    [claim] = await store.reclaim(10, LEASE_SECONDS)

    record = await shelf.record(item_id)
    assert (claim.item.id, claim.item.payload, claim.attempt) == (item_id, b"x", 1)
    assert claim.lease.token != former.lease.token
    assert (record.state, record.attempts) == (State.LEASED, 1)


async def test_whoever_lost_its_lease_cannot_settle(shelf: Shelf) -> None:
    """The old token is refused, the new one holds, and the attempt stays counted."""
    await shelf.put(new_item())
    former = await shelf.take_one()
    store = await shelf.reopen()
    shelf.clock.advance(LEASE_SECONDS + 1.0)
    [claim] = await store.reclaim(10, LEASE_SECONDS)

    late = await shelf.settle(succeed(former))
    own = await shelf.settle(lose(claim))

    [again] = await shelf.take(recovered=1)
    assert (late, own) == ([False], [True])
    assert (again.attempt, again.lost_leases) == (2, 1)


async def test_handed_off_item_of_a_dead_process_is_taken_over(shelf: Shelf) -> None:
    """It was leased from its first moment, so it is reclaimed like any other."""
    await shelf.store.enqueue([new_item()], Slots(free=1))
    store = await shelf.reopen()
    shelf.clock.advance(LEASE_SECONDS + 1.0)

    [claim] = await store.reclaim(10, LEASE_SECONDS)

    assert claim.attempt == 1


async def test_process_never_reclaims_its_own_leases(shelf: Shelf) -> None:
    """Neither those it was granted nor those it took over."""
    await shelf.put(new_item(), new_item())
    await shelf.take(limit=1)
    store = await shelf.reopen()
    shelf.clock.advance(LEASE_SECONDS + 1.0)
    taken_over = await store.reclaim(10, LEASE_SECONDS)
    await shelf.take()

    again = await store.reclaim(10, LEASE_SECONDS)

    assert len(taken_over) == 1
    assert list(again) == []


async def test_reclaim_takes_no_more_than_its_limit(shelf: Shelf) -> None:
    """The rest comes with the next call, each lease once."""
    ids = await shelf.put(*[new_item(queue) for queue in "abcab"])
    for queue in "abc":
        await shelf.take(queue)
    store = await shelf.reopen()
    shelf.clock.advance(LEASE_SECONDS + 1.0)

    found = [await store.reclaim(2, LEASE_SECONDS) for _ in range(4)]

    assert [len(claims) for claims in found] == [2, 2, 1, 0]
    assert sorted(item_id for claims in found for item_id in ids_of(claims)) == sorted(ids)


async def test_whatever_was_not_leased_outlives_its_process_unchanged(shelf: Shelf) -> None:
    """Waiting and ended items are as they were; a pause still holds."""
    [waiting, ended] = await shelf.put(new_item(delay_seconds=5.0), new_item())
    await shelf.settle(succeed(await shelf.take_one(), b"kept"))
    await shelf.store.pause("work", 60.0)
    before = [await shelf.record(waiting), await shelf.record(ended)]

    store = await shelf.reopen()

    body = await store.result(ended)
    assert [await shelf.record(waiting), await shelf.record(ended)] == before
    assert body is not None
    assert body.content == b"kept"
    assert [pause.queue for pause in await store.pauses()] == ["work"]


async def test_forgotten_lease_is_taken_back_by_its_token(shelf: Shelf) -> None:
    """Of one's own leases only the one that is named changes hands; its attempt stays counted."""
    await shelf.put(new_item(), new_item())
    lost, kept = await shelf.take(limit=2)

    known = await shelf.store.leases()
    [claim] = await shelf.store.reclaim(10, LEASE_SECONDS, [lost.lease])

    assert {lease.token for lease in known} == {lost.lease.token, kept.lease.token}
    assert (claim.item.id, claim.attempt) == (lost.item.id, 1)
    assert await shelf.settle(succeed(lost)) == [False]
    assert await shelf.settle(succeed(kept)) == [True]
    assert await shelf.settle(lose(claim)) == [True]


async def test_settled_lease_is_not_taken_back(shelf: Shelf) -> None:
    """A lease that was settled between the look and the reclaim is gone for good."""
    await shelf.put(new_item())
    claim = await shelf.take_one()
    await shelf.settle(succeed(claim))

    assert list(await shelf.store.reclaim(10, LEASE_SECONDS, [claim.lease])) == []
