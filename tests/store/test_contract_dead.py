"""The contract of dead letters: listed in the order they died, put back, deleted."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest

from tests.clock import START_AT
from tests.store.shelf import DEADLINE_SECONDS, Shelf, give_up, key, lose, new_item, retry
from tirelessd.core.errors import InvalidRequest
from tirelessd.core.item import Selection, State
from tirelessd.core.outcome import DeadReason
from tirelessd.core.trace import TraceContext
from tirelessd.store.base import Changed, Replayed


async def three_deaths(shelf: Shelf) -> list[str]:
    """Dead letters of three moments, accepted in another order; their ids as they died."""
    ids = await shelf.put(*[new_item("work") for _ in range(3)])
    claims = await shelf.take()
    for claim in reversed(claims):
        await shelf.settle(give_up(claim))
        shelf.clock.advance(1.0)
    return ids[::-1]


async def listed(shelf: Shelf, selection: Selection = Selection()) -> list[str]:  # noqa: B008
    """All dead letters of a selection, page by page of two."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = await shelf.store.list_dead(selection, after, 2)
        found += [record.id for record in page.items]
        if page.next_after is None:
            return found
        after = page.next_after


async def test_dead_letters_are_listed_in_the_order_they_died(shelf: Shelf) -> None:
    """Across pages, each once."""
    ids = await three_deaths(shelf)

    assert await listed(shelf) == ids


async def test_deaths_of_one_moment_are_ordered_by_id(shelf: Shelf) -> None:
    """So that pages neither repeat nor skip any of them."""
    ids = await shelf.bury(*[new_item() for _ in range(5)])

    assert await listed(shelf) == sorted(ids)


async def test_listed_dead_letter_shows_its_last_error(shelf: Shelf) -> None:
    """The list has it without the whole history."""
    await shelf.put(new_item())
    await shelf.settle(retry(await shelf.take_one(), seconds=0.0))
    await shelf.settle(give_up(await shelf.take_one()))

    [record] = (await shelf.store.list_dead(Selection(), None, 10)).items

    assert record.last_error is not None
    assert (record.last_error.attempt, record.last_error.detail) == (2, "no such model")
    assert (record.dead_reason, list(record.history)) == ("permanent", [])


async def test_selection_narrows_the_list(shelf: Shelf) -> None:
    """By queue, by reason, or by both."""
    [a] = await shelf.bury(new_item("a"))
    [b] = await shelf.bury(new_item("b"))
    [spent] = await shelf.bury(new_item("b"), reason=DeadReason.MAX_ATTEMPTS)

    assert await listed(shelf, Selection(queue="a")) == [a]
    assert await listed(shelf, Selection(queue="b")) == [b, spent]
    assert await listed(shelf, Selection(reason="permanent")) == [a, b]
    assert await listed(shelf, Selection(queue="b", reason="max_attempts")) == [spent]
    assert await listed(shelf, Selection(queue="nowhere")) == []


def written(place: list[object]) -> str:
    """A cursor of the caller's own making."""
    return urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


FORGED = [
    written(["items", 2**63]),
    written(["items", -1]),
    written(["items", 1.5]),
    written(["dead", 1.0, "abc"]),
    written(["dead", 1.0, "00000000-0000-0000-0000-00000000000\n"]),
    written(["dead", float("inf"), ""]),
]


@pytest.mark.parametrize("after", ["", "nonsense", "é", "WzFd", "W10", "x" * 5_000, *FORGED])
async def test_any_other_cursor_is_refused(shelf: Shelf, after: str) -> None:
    """A text that is no page's `next_after` is the caller's mistake."""
    with pytest.raises(InvalidRequest):
        await shelf.store.list_dead(Selection(), after, 10)
    with pytest.raises(InvalidRequest):
        await shelf.store.list_items("work", None, after, 10)


async def test_what_lies_behind_the_last_row_is_an_empty_page(shelf: Shelf) -> None:
    """However far behind it."""
    await three_deaths(shelf)

    items = await shelf.store.list_items("work", None, written(["items", 2**63 - 1]), 10)
    dead = await shelf.store.list_dead(Selection(), written(["dead", 1e308, ""]), 10)

    assert (items.items, dead.items) == ([], [])


async def test_cursors_of_lists_are_not_exchangeable(shelf: Shelf) -> None:
    """One list's `next_after` is nonsense to the other."""
    await three_deaths(shelf)
    of_dead = (await shelf.store.list_dead(Selection(), None, 1)).next_after
    of_items = (await shelf.store.list_items("work", None, None, 1)).next_after

    with pytest.raises(InvalidRequest):
        await shelf.store.list_items("work", None, of_dead, 1)
    with pytest.raises(InvalidRequest):
        await shelf.store.list_dead(Selection(), of_items, 1)


async def test_redriven_item_starts_anew(shelf: Shelf) -> None:
    """Due now, in a new generation: attempts, lost leases and deadline renewed; history kept."""
    [item_id] = await shelf.put(new_item(priority=7, payload=b"again"))
    await shelf.settle(lose(await shelf.take_one()))
    [claim] = await shelf.take(recovered=1)
    await shelf.settle(give_up(claim))
    shelf.clock.advance(5_000.0)

    changed = await shelf.store.redrive(Selection(), 10)

    record = await shelf.record(item_id)
    again = await shelf.take_one()
    assert changed == Changed({"work": 1}, remaining=0)
    assert (record.state, record.generation, record.attempts) == (State.QUEUED, 2, 0)
    assert record.due_at == START_AT + 5_000.0
    assert record.deadline_at == record.due_at + DEADLINE_SECONDS
    assert (record.finished_at, record.dead_reason, record.accepted_at) == (None, None, START_AT)
    assert [failure.generation for failure in record.history] == [1, 1]
    assert (again.attempt, again.generation, again.lost_leases) == (1, 2, 0)
    assert (again.elapsed_seconds, again.age_seconds) == (0.0, 5_000.0)
    assert (again.item.priority, again.item.payload) == (7, b"again")


async def test_a_redriven_item_tells_who_put_it_back(shelf: Shelf) -> None:
    """The trace of the last redrive, if it had one, beside the one of the acceptance."""
    accepted, first = TraceContext("00-1-2-01"), TraceContext("00-3-4-01")
    await shelf.bury(new_item(trace=accepted))
    await shelf.store.redrive(Selection(), 10, trace=first)
    claim = await shelf.take_one()
    await shelf.settle(give_up(claim))
    await shelf.store.redrive(Selection(), 10)

    again = await shelf.take_one()

    assert (claim.trace, claim.redriven) == (accepted, first)
    assert (again.trace, again.redriven) == (accepted, None)


async def test_attempts_of_generations_stand_side_by_side(shelf: Shelf) -> None:
    """The second first attempt does not overwrite the first one."""
    [item_id] = await shelf.bury(new_item())
    await shelf.store.redrive(Selection(), 10)
    await shelf.settle(give_up(await shelf.take_one()))

    record = await shelf.record(item_id)

    assert [(f.generation, f.attempt) for f in record.history] == [(1, 1), (2, 1)]
    assert record.last_error == record.history[1]


async def test_key_outlives_redrive_and_deletion(shelf: Shelf) -> None:
    """The caller's key still stands for the item, also once it is gone."""
    [item_id] = await shelf.bury(new_item(key=key()))

    await shelf.store.redrive(Selection(), 10)
    [redriven] = await shelf.store.enqueue([new_item(key=key())])
    await shelf.settle(give_up(await shelf.take_one()))
    await shelf.store.delete_dead(Selection(), 10)
    [deleted] = await shelf.store.enqueue([new_item(key=key())])

    assert redriven == Replayed(item_id, State.QUEUED)
    assert deleted == Replayed(item_id, None)


async def test_named_dead_letters_are_changed_and_no_others(shelf: Shelf) -> None:
    """Ids of items that are not dead, or of none, are passed over; a repeated one counts once."""
    dead = await shelf.bury(new_item("a"), new_item("b"), new_item("a"))
    [alive] = await shelf.put(new_item("a"))
    named = Selection(ids=[dead[0], dead[1], dead[0], alive, "nobody"])

    changed = await shelf.store.redrive(named, 10)

    assert changed == Changed({"a": 1, "b": 1}, remaining=0)
    assert await listed(shelf) == [dead[2]]
    assert (await shelf.record(alive)).generation == 1


async def test_bulk_change_keeps_its_limit_and_tells_the_rest(shelf: Shelf) -> None:
    """Those that died first go first, and `remaining` counts what still matches."""
    ids = await three_deaths(shelf)
    await shelf.bury(new_item("other"))

    first = await shelf.store.redrive(Selection(queue="work"), 2)

    assert first == Changed({"work": 2}, remaining=1)
    assert first.count == 2
    assert await listed(shelf, Selection(queue="work")) == ids[2:]


async def test_deleted_dead_letters_leave_nothing(shelf: Shelf) -> None:
    """Item, payload and history are gone for good."""
    first, *rest = await three_deaths(shelf)

    changed = await shelf.store.delete_dead(Selection(), 1)

    assert changed == Changed({"work": 1}, remaining=2)
    assert await shelf.store.get(first) is None
    assert await shelf.store.payload(first) is None
    assert await listed(shelf) == rest


@pytest.mark.parametrize("limit", [2, 10])
async def test_dry_run_counts_and_changes_nothing(shelf: Shelf, limit: int) -> None:
    """It answers what the real call would."""
    ids = await three_deaths(shelf)

    redriven = await shelf.store.redrive(Selection(), limit, dry_run=True)
    deleted = await shelf.store.delete_dead(Selection(ids=ids[:1]), limit, dry_run=True)

    assert redriven == Changed({"work": min(limit, 3)}, remaining=3 - min(limit, 3))
    assert deleted == Changed({"work": 1}, remaining=0)
    assert await listed(shelf) == ids
