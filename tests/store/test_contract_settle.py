"""The contract of settling: decisions written through the fence, and the claims that come along."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.clock import START_AT
from tests.store.shelf import (
    LEASE_SECONDS,
    Shelf,
    decide,
    give_up,
    ids_of,
    lose,
    new_item,
    repeated,
    retry,
    succeed,
)
from tirelessd.core.decision import Complete, Settlement
from tirelessd.core.item import AttemptRecord, Body, Claim, Lease, ShownState, State
from tirelessd.core.outcome import DeadReason
from tirelessd.store.base import Settled


async def test_success_ends_the_item_and_keeps_its_result(shelf: Shelf) -> None:
    """The result is read back byte for byte; a first-try success leaves no history."""
    [item_id] = await shelf.put(new_item())
    claim = await shelf.take_one()
    shelf.clock.advance(2.0)

    held = await shelf.settle(decide(claim, Complete(b"\0\xff", "image/png")))

    record = await shelf.record(item_id)
    assert held == [True]
    assert (record.state, record.shown_state) == (State.SUCCEEDED, ShownState.SUCCEEDED)
    assert (record.finished_at, record.attempts, record.history) == (START_AT + 2.0, 1, [])
    assert await shelf.store.result(item_id) == Body(b"\0\xff", "image/png")


@pytest.mark.parametrize("result", [None, b""])
async def test_no_result_and_an_empty_one_differ(shelf: Shelf, result: bytes | None) -> None:
    """An empty answer is an answer."""
    [item_id] = await shelf.put(new_item())

    await shelf.settle(succeed(await shelf.take_one(), result))

    body = await shelf.store.result(item_id)
    assert body == (None if result is None else Body(b"", "text/plain"))


async def test_retry_waits_from_now_and_remembers_the_failure(shelf: Shelf) -> None:
    """The seconds count from the settlement, and history keeps what went wrong, and when."""
    [item_id] = await shelf.put(new_item())
    claim = await shelf.take_one()
    shelf.clock.advance(2.0)

    await shelf.settle(retry(claim, seconds=10.0))

    record = await shelf.record(item_id)
    failure = AttemptRecord(1, 1, "http_5xx", 503, "the model is loading", 0.5, START_AT + 1.5)
    assert (record.state, record.shown_state) == (State.QUEUED, ShownState.RETRYING)
    assert (record.due_at, record.attempts) == (START_AT + 12.0, 1)
    assert (record.history, record.last_error) == ([failure], failure)
    assert await shelf.take() == []


async def test_giving_up_keeps_everything(shelf: Shelf) -> None:
    """The dead item has its reason, the time of its death and every failed attempt."""
    [item_id] = await shelf.put(new_item())
    await shelf.settle(retry(await shelf.take_one(), seconds=3.0))
    shelf.clock.advance(3.0)

    await shelf.settle(give_up(await shelf.take_one(), DeadReason.NOT_RETRIABLE))

    record = await shelf.record(item_id)
    assert (record.state, record.dead_reason) == (State.DEAD, "not_retriable")
    assert (record.finished_at, record.attempts) == (START_AT + 3.0, 2)
    assert [failure.reason for failure in record.history] == ["http_5xx", "permanent"]
    assert [failure.attempt for failure in record.history] == [1, 2]
    assert record.last_error == record.history[-1]


async def test_unknown_status_stays_unknown(shelf: Shelf) -> None:
    """A failure without a status, such as a lost lease, has none in the history."""
    [item_id] = await shelf.put(new_item())

    await shelf.settle(lose(await shelf.take_one()))

    [failure] = (await shelf.record(item_id)).history
    assert (failure.reason, failure.status) == ("lease_lost", None)


async def test_second_settlement_of_a_lease_is_refused(shelf: Shelf) -> None:
    """The first decision stands, whatever the second would have been."""
    [item_id] = await shelf.put(new_item())
    claim = await shelf.take_one()
    await shelf.settle(succeed(claim))

    held = await shelf.settle(give_up(claim), succeed(claim, b"late"), retry(claim))

    record = await shelf.record(item_id)
    assert held == [False, False, False]
    assert (record.state, record.history) == (State.SUCCEEDED, [])
    assert await shelf.store.result(item_id) is None


async def test_of_two_decisions_in_one_commit_the_first_stands(shelf: Shelf) -> None:
    """One lease settles once, even within one commit and with a different decision."""
    [item_id] = await shelf.put(new_item())
    claim = await shelf.take_one()

    first, second = await asyncio.gather(
        shelf.settle(retry(claim)), shelf.settle(succeed(claim, b"x"))
    )

    assert (first, second) == ([True], [False])
    assert (await shelf.record(item_id)).state is State.QUEUED
    assert await shelf.store.result(item_id) is None


async def test_repeat_of_a_written_settlement_holds_and_changes_nothing(shelf: Shelf) -> None:
    """When the fate of a commit was unknown, asking again tells that it happened."""
    ids = await shelf.put(*[new_item() for _ in range(3)])
    first, second, third = await shelf.take()
    settlements = [succeed(first), retry(second), give_up(third)]
    await shelf.settle(*settlements)
    before = [await shelf.record(item_id) for item_id in ids]
    shelf.clock.advance(5.0)

    held = await shelf.settle(*map(repeated, settlements))

    assert held == [True, True, True]
    assert [await shelf.record(item_id) for item_id in ids] == before


async def test_repeat_of_a_settlement_that_did_not_happen_writes_it(shelf: Shelf) -> None:
    """When the first try was lost, the second one counts."""
    [item_id] = await shelf.put(new_item())

    held = await shelf.settle(repeated(give_up(await shelf.take_one())))

    assert held == [True]
    assert (await shelf.record(item_id)).state is State.DEAD


async def test_repeat_is_refused_once_somebody_else_had_the_item(shelf: Shelf) -> None:
    """Under another token, or after a release, nothing tells of an earlier try."""
    await shelf.put(new_item(), new_item())
    retried, released = await shelf.take()
    await shelf.settle(retry(retried, seconds=0.0))
    await shelf.take_one()
    await shelf.store.release([released.lease])

    held = await shelf.settle(repeated(retry(retried)), repeated(succeed(released)))

    assert held == [False, False]


async def test_repeat_brings_the_next_item(shelf: Shelf) -> None:
    """The slot is free, whichever try it was."""
    ids = await shelf.put(new_item(), new_item())
    [claim] = await shelf.take(limit=1)
    await shelf.settle(succeed(claim))

    [refill] = await refills(shelf, repeated(succeed(claim, refill=True)))

    assert refill is not None
    assert refill.item.id == ids[1]


async def test_former_token_settles_nothing(shelf: Shelf) -> None:
    """Once an item has been claimed anew, only the new lease counts, in one commit too."""
    [item_id] = await shelf.put(new_item())
    former = await shelf.take_one()
    await shelf.settle(retry(former, seconds=0.0))
    current = await shelf.take_one()

    held = await shelf.settle(give_up(former), succeed(former), succeed(current, b"good"))

    assert held == [False, False, True]
    assert (await shelf.record(item_id)).state is State.SUCCEEDED
    assert await shelf.store.result(item_id) == Body(b"good", "text/plain")


async def test_tokens_do_not_fit_other_items(shelf: Shelf) -> None:
    """A live token on another item's row settles neither."""
    await shelf.put(new_item(), new_item())
    one, two = await shelf.take()
    crossed = msgspec.structs.replace(
        succeed(one), lease=Lease(one.item.id, "work", one.lease.row, two.lease.token)
    )

    held = await shelf.settle(crossed)

    assert held == [False]
    assert await shelf.settle(succeed(one), succeed(two)) == [True, True]


async def test_answers_stand_in_the_order_of_the_settlements(shelf: Shelf) -> None:
    """Whatever is decided of each, and whether or not it held."""
    await shelf.put(*[new_item() for _ in range(4)])
    first, second, third, fourth = await shelf.take()
    await shelf.settle(succeed(second))

    held = await shelf.settle(give_up(first), succeed(second), succeed(third), retry(fourth))

    assert held == [True, False, True, True]


async def test_nothing_to_settle_is_answered_by_nothing(shelf: Shelf) -> None:
    """Empty calls have empty answers."""
    assert list(await shelf.store.settle([])) == []
    assert list(await shelf.store.release([])) == []
    assert list(await shelf.store.renew([], LEASE_SECONDS)) == []


async def test_late_settlement_of_an_untaken_lease_holds(shelf: Shelf) -> None:
    """The fence is the token, not the clock: an expired lease nobody took over still settles."""
    await shelf.put(new_item())
    claim = await shelf.take_one()

    shelf.clock.advance(10 * LEASE_SECONDS)

    assert await shelf.settle(succeed(claim)) == [True]


async def test_lost_leases_are_counted_in_their_generation(shelf: Shelf) -> None:
    """Each lost lease adds one; another failure does not."""
    await shelf.put(new_item())
    await shelf.settle(lose(await shelf.take_one()))
    [again] = await shelf.take(recovered=1)
    await shelf.settle(retry(again, seconds=0.0))
    [once_more] = await shelf.take(recovered=1)

    await shelf.settle(lose(once_more))

    [last] = await shelf.take(recovered=1)
    assert (again.lost_leases, once_more.lost_leases, last.lost_leases) == (1, 1, 2)
    assert last.attempt == 4


async def refills(shelf: Shelf, *settlements: Settlement) -> list[Claim | None]:
    """Settle; the claims that came along."""
    return [answer.refill for answer in await shelf.store.settle(settlements)]


async def test_settlement_brings_the_next_item(shelf: Shelf) -> None:
    """With `refill`, the slot that is free now has its next lease in the same commit."""
    ids = await shelf.put(new_item(), new_item(payload=b"next"))
    [claim] = await shelf.take(limit=1)

    [refill] = await refills(shelf, succeed(claim, refill=True))

    assert refill is not None
    assert (refill.item.id, refill.item.payload, refill.attempt) == (ids[1], b"next", 1)
    assert await shelf.settle(succeed(refill)) == [True]


async def test_settlement_that_does_not_ask_brings_nothing(shelf: Shelf) -> None:
    """Without `refill` the next item stays where it is."""
    await shelf.put(new_item(), new_item())
    [claim] = await shelf.take(limit=1)

    answers = await shelf.store.settle([succeed(claim)])

    assert answers == [Settled(is_held=True)]
    assert len(await shelf.take()) == 1


async def test_each_freed_slot_has_another_item(shelf: Shelf) -> None:
    """Refills of one commit share nothing, come in order, and end where the items end."""
    ids = await shelf.put(*[new_item() for _ in range(5)])
    claims = await shelf.take(limit=3)

    answers = await asyncio.gather(*[refills(shelf, succeed(c, refill=True)) for c in claims])

    found = [refill.item.id if refill else None for [refill] in answers]
    assert found == [ids[3], ids[4], None]


async def test_refused_settlement_brings_nothing(shelf: Shelf) -> None:
    """Whoever lost its lease has lost its slot's claim to the next item too."""
    await shelf.put(new_item(), new_item())
    [claim] = await shelf.take(limit=1)
    await shelf.settle(succeed(claim))

    assert await refills(shelf, succeed(claim, refill=True)) == [None]


async def test_refill_comes_after_all_settlements(shelf: Shelf) -> None:
    """An item that is retried at once is there for the slot that just tried it."""
    [item_id] = await shelf.put(new_item())

    [refill] = await refills(shelf, retry(await shelf.take_one(), seconds=0.0, refill=True))

    assert refill is not None
    assert (refill.item.id, refill.attempt) == (item_id, 2)


async def test_refill_obeys_what_a_claim_obeys(shelf: Shelf) -> None:
    """No item of a paused queue, of another queue, not yet due, or recovered."""
    await shelf.put(new_item(), new_item())
    lost, claim = await shelf.take()
    await shelf.settle(lose(lost))
    await shelf.put(new_item(delay_seconds=1.0), new_item("other"), new_item("paused"))
    [other] = await shelf.take("paused")
    await shelf.put(new_item("paused"))
    await shelf.store.pause("paused", None)

    found = await refills(shelf, succeed(claim, refill=True), succeed(other, refill=True))

    assert found == [None, None]


async def test_waiting_items_of_a_commit_go_to_refills_before_claims(shelf: Shelf) -> None:
    """A slot that is free already comes before one that asks."""
    ids = await shelf.put(new_item(), new_item())
    [claim] = await shelf.take(limit=1)

    [refill], claims = await asyncio.gather(
        refills(shelf, succeed(claim, refill=True)), shelf.take()
    )

    assert refill is not None
    assert (refill.item.id, ids_of(claims)) == (ids[1], [])
