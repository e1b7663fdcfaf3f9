"""The contract of claims: who gets what, in which order, and what never is handed out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.store.shelf import (
    DEADLINE_SECONDS,
    LEASE_SECONDS,
    Shelf,
    ids_of,
    lose,
    new_item,
    retry,
)
from tirelessd.core.item import PRIORITIES, Selection, State


async def test_order_is_priority_then_due_time_then_acceptance(shelf: Shelf) -> None:
    """Higher priority first, then the longer due, then the earlier accepted."""
    late = new_item(delay_seconds=3.0, priority=9)
    early = new_item(delay_seconds=1.0, priority=9)
    first, second = new_item(priority=4), new_item(priority=4)
    ids = await shelf.put(second, late, first, early)
    shelf.clock.advance(3.0)

    claims = await shelf.take()

    assert ids_of(claims) == [ids[3], ids[1], ids[0], ids[2]]


async def test_every_priority_is_claimed_in_turn(shelf: Shelf) -> None:
    """All ten levels come, nine first."""
    await shelf.put(*[new_item(priority=priority) for priority in PRIORITIES])

    claims = await shelf.take()

    assert [claim.item.priority for claim in claims] == sorted(PRIORITIES, reverse=True)


async def test_claim_takes_no_more_than_its_limit(shelf: Shelf) -> None:
    """The rest stays for the next one."""
    ids = await shelf.put(*[new_item() for _ in range(5)])

    first, second = await shelf.take(limit=2), await shelf.take(limit=9)

    assert ids_of(first) == ids[:2]
    assert ids_of(second) == ids[2:]


async def test_claim_counts_the_attempt_and_draws_a_fresh_token(shelf: Shelf) -> None:
    """Each lease has a token of its own, and each claim of an item is its next attempt."""
    await shelf.put(new_item(), new_item())

    first = await shelf.take()
    await shelf.settle(*[retry(claim, seconds=0.0) for claim in first])
    second = await shelf.take()

    assert [claim.attempt for claim in first + second] == [1, 1, 2, 2]
    assert len({claim.lease.token for claim in first + second}) == 4
    assert all(0 <= claim.lease.token < 2**63 for claim in first + second)


async def test_claim_tells_how_long_the_item_has_waited(shelf: Shelf) -> None:
    """Seconds since due, since the first due time and since acceptance, as of the claim."""
    await shelf.put(new_item(delay_seconds=5.0))
    shelf.clock.advance(7.0)
    first = await shelf.take_one()
    await shelf.settle(retry(first, seconds=10.0))
    shelf.clock.advance(13.0)

    second = await shelf.take_one()

    assert (first.waited_seconds, first.elapsed_seconds, first.age_seconds) == (2.0, 2.0, 7.0)
    assert (second.waited_seconds, second.elapsed_seconds, second.age_seconds) == (3.0, 15.0, 20.0)
    assert second.deadline_seconds == DEADLINE_SECONDS
    assert second.remaining_seconds == DEADLINE_SECONDS - 15.0


async def test_item_is_not_claimed_before_it_is_due(shelf: Shelf) -> None:
    """Its instant belongs to it: due at that very moment, not a moment before."""
    await shelf.put(new_item(delay_seconds=5.0))

    shelf.clock.advance(4.875)
    early = await shelf.take()
    shelf.clock.advance(0.125)

    assert early == []
    assert len(await shelf.take()) == 1


async def test_item_past_its_deadline_is_not_claimed(shelf: Shelf) -> None:
    """The deadline itself is too late, and the item behind it is not held up."""
    [_, alive] = await shelf.put(
        new_item(deadline_seconds=5.0), new_item(deadline_seconds=5.125, priority=0)
    )

    shelf.clock.advance(5.0)

    assert ids_of(await shelf.take()) == [alive]


async def test_leased_item_is_not_claimed_again(shelf: Shelf) -> None:
    """Not even once its lease has expired: that is for reclaim."""
    await shelf.put(new_item())
    await shelf.take()

    shelf.clock.advance(10 * LEASE_SECONDS)

    assert await shelf.take() == []


async def test_claim_looks_at_its_own_queue_only(shelf: Shelf) -> None:
    """Queues share nothing."""
    [mine, _] = await shelf.put(new_item("mine"), new_item("yours", priority=9))

    assert ids_of(await shelf.take("mine")) == [mine]


async def test_paused_queue_is_not_claimed(shelf: Shelf) -> None:
    """Until the pause ends by itself or by a resume; intake goes on meanwhile."""
    await shelf.store.pause("work", 5.0)
    await shelf.put(new_item(), new_item())

    paused = await shelf.take(limit=1)
    shelf.clock.advance(5.0)
    expired = await shelf.take(limit=1)
    await shelf.store.pause("work", None)
    paused_again = await shelf.take(limit=1)
    await shelf.store.resume("work")

    assert (len(paused), len(expired), len(paused_again)) == (0, 1, 0)
    assert len(await shelf.take(limit=1)) == 1


async def test_concurrent_claims_share_nothing(shelf: Shelf) -> None:
    """Of many claims at once none gets another's item, and together they get all of them."""
    ids = await shelf.put(*[new_item() for _ in range(30)])

    found = await asyncio.gather(*[shelf.take(limit=4) for _ in range(10)])

    assert sorted(item_id for claims in found for item_id in ids_of(claims)) == sorted(ids)


async def test_claim_for_nothing_claims_nothing(shelf: Shelf) -> None:
    """A limit of 0 is no error."""
    await shelf.put(new_item())

    assert await shelf.take(limit=0) == []


@pytest.mark.parametrize(("delays", "next_due"), [((), None), ((7.0, 3.0, 9.0), 3.0)])
async def test_claim_that_falls_short_tells_when_to_come_back(
    shelf: Shelf, delays: tuple[float, ...], next_due: float | None
) -> None:
    """It is the time until the next item of any priority falls due, or None without one."""
    items = [new_item(delay_seconds=delay, priority=i) for i, delay in enumerate(delays)]
    await shelf.put(new_item("other", delay_seconds=1.0), *items)

    claimed = await shelf.store.claim("work", 1, LEASE_SECONDS)

    assert claimed.claims == []
    assert claimed.next_due_in_seconds == next_due


async def test_full_claim_need_not_look_further(shelf: Shelf) -> None:
    """Whoever got what it asked for comes back anyway."""
    await shelf.put(new_item(), new_item(delay_seconds=3.0))

    claimed = await shelf.store.claim("work", 1, LEASE_SECONDS)

    assert claimed.next_due_in_seconds is None


async def test_paused_queue_has_no_next_due_time(shelf: Shelf) -> None:
    """Nothing of it could have been claimed."""
    await shelf.put(new_item(delay_seconds=3.0))
    await shelf.store.pause("work", None)

    claimed = await shelf.store.claim("work", 1, LEASE_SECONDS)

    assert claimed.next_due_in_seconds is None


async def recovered(shelf: Shelf, count: int, **options: Any) -> list[str]:
    """Items that lost a lease once, due now; their ids."""
    ids = await shelf.put(*[new_item(**options) for _ in range(count)])
    await shelf.settle(*[lose(claim) for claim in await shelf.take()])
    return ids


async def test_recovered_items_come_only_as_asked_for(shelf: Shelf) -> None:
    """What lost a lease is not claimed but by a call that says how many it takes."""
    ids = await recovered(shelf, 3)

    usual, cautious = await shelf.take(), await shelf.take(recovered=1)

    assert usual == []
    assert ids_of(cautious) == ids[:1]
    assert (cautious[0].lost_leases, cautious[0].attempt) == (1, 2)


async def test_recovered_items_count_toward_the_limit_and_keep_their_place(shelf: Shelf) -> None:
    """They are claimed in the common order, among the others."""
    [middle] = await recovered(shelf, 1, priority=5)
    [low, high] = await shelf.put(new_item(priority=1), new_item(priority=8))

    claims = await shelf.take(limit=2, recovered=1)

    assert ids_of(claims) == [high, middle]
    assert ids_of(await shelf.take()) == [low]


async def test_recovered_items_are_ordered_by_due_time_among_the_others(shelf: Shelf) -> None:
    """The longer due goes first, though the other was accepted before it."""
    [patient] = await shelf.put(new_item(delay_seconds=2.0))
    [lost] = await recovered(shelf, 1)
    shelf.clock.advance(2.0)

    claims = await shelf.take(recovered=1)

    assert ids_of(claims) == [lost, patient]


async def test_recovered_items_are_announced_only_to_who_takes_them(shelf: Shelf) -> None:
    """The next due time speaks of items that the same call could have claimed."""
    await shelf.put(new_item())
    await shelf.settle(lose(await shelf.take_one(), seconds=4.0))

    usual = await shelf.store.claim("work", 1, LEASE_SECONDS)
    cautious = await shelf.store.claim("work", 1, LEASE_SECONDS, recovered=1)

    assert usual.next_due_in_seconds is None
    assert cautious.next_due_in_seconds == 4.0


async def test_item_without_a_lost_lease_in_this_generation_is_claimed_freely(shelf: Shelf) -> None:
    """A redrive forgets the lost leases."""
    [item_id] = await recovered(shelf, 1, deadline_seconds=5.0)
    shelf.clock.advance(5.0)
    await shelf.store.expire(10)
    await shelf.store.redrive(Selection(), 10)

    claim = await shelf.take_one()

    assert (claim.item.id, claim.lost_leases, claim.generation) == (item_id, 0, 2)
    assert (await shelf.record(item_id)).state is State.LEASED
