"""When a pool looks: in time for what it knows of, and ever more rarely where nothing comes."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import pytest

from tests.store.shelf import new_item
from tirelessd.core.item import Claim, Item, Lease
from tirelessd.engine.outlook import Outlook
from tirelessd.store.base import Claimed, Store

NOTHING = Claimed([])


def claim() -> Claim:
    """What a look may find."""
    item = new_item()
    found = Item(item.id, item.queue, b"", "text/plain", {}, 0, 0.0)
    return Claim(found, Lease(item.id, item.queue, 1, 1), 1, 1, 60.0, 0.0, 0.0, 0.0, 0, None, None)


def look(outlook: Outlook, found: Claimed, limit: int = 4) -> float:
    """Have it look; how long it then waits."""
    outlook.begin()
    outlook.looked(found, limit)
    return outlook.seconds_until_look()


@pytest.fixture
async def outlook() -> Outlook:
    """That of a pool which may leave five seconds between its looks."""
    store = SimpleNamespace(poll_seconds=1.0, longest_poll_seconds=5.0)
    return Outlook(cast("Store", store))


async def test_looks_that_find_nothing_become_rare(outlook: Outlook) -> None:
    """Twice as long after each, as far as the store allows."""
    waits = [look(outlook, NOTHING) for _ in range(5)]

    assert waits == [2.0, 4.0, 5.0, 5.0, 5.0]


async def test_whatever_happens_makes_them_frequent_again(outlook: Outlook) -> None:
    """An item found, or announced, is seldom alone."""
    for _ in range(5):
        look(outlook, NOTHING)

    after_an_item = look(outlook, Claimed([claim()]))
    look(outlook, NOTHING)
    outlook.expect(math.inf)
    after_a_word = outlook.seconds_until_look()

    assert (after_an_item, after_a_word) == (1.0, 1.0)


async def test_full_answer_is_asked_for_more(outlook: Outlook) -> None:
    """There may be others behind what the slots could take."""
    assert look(outlook, Claimed([claim()]), limit=1) == 0.0
    assert outlook.is_something_due()


async def test_item_announced_while_it_looks_is_not_forgotten(outlook: Outlook) -> None:
    """The answer under way may be older than the word."""
    outlook.begin()
    outlook.expect(0.0)
    outlook.looked(NOTHING, 4)

    assert outlook.seconds_until_look() == 0.0


async def test_next_item_is_looked_for_in_time(outlook: Outlook) -> None:
    """Neither a second later nor before it falls due."""
    wait = look(outlook, Claimed([], next_due_in_seconds=0.5))

    assert wait == pytest.approx(0.5, abs=0.1)
    assert not outlook.is_something_due()


async def test_look_that_failed_is_repeated(outlook: Outlook) -> None:
    """Nothing is known of what it would have told."""
    outlook.begin()
    outlook.failed()

    assert outlook.seconds_until_look() == 0.0
    assert outlook.is_lost_due()
