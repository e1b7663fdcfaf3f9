"""A key that another process has brought and does not commit: only who brings it, too, waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.clock import ManualClock
from tests.store.shelf import Shelf, accepted, key, new_item
from tests.store.still import StillDatabase, StillPools, open_shelf
from tirelessd.core.errors import StoreUnavailable
from tirelessd.store.base import Accepted

TAKE = "INSERT INTO idempotency_keys VALUES ('work', 'stuck', gen_random_uuid(), 1e12, 'theirs')"


@pytest.fixture
async def pools() -> StillPools:
    """Connections to an empty database."""
    return StillPools(StillDatabase(), ManualClock())


@pytest.fixture
async def shelf(pools: StillPools) -> AsyncIterator[Shelf]:
    """An open, empty store on those connections."""
    async with open_shelf(pools) as shelf:
        yield shelf


@asynccontextmanager
async def stopped_process(pools: StillPools) -> AsyncIterator[None]:
    """Somebody who has taken the key, and does not commit until the end."""
    connection = await asyncpg.connect(pools.url)
    await connection.execute(f"BEGIN; {TAKE}")
    try:
        yield
    finally:
        await connection.execute("ROLLBACK")
        await connection.close()


async def test_key_that_is_kept_delays_only_who_brings_it(shelf: Shelf, pools: StillPools) -> None:
    """All others of its commit are accepted, with other keys or none, and it is later on."""
    stuck = new_item(key=key("stuck"))
    others = [new_item(), new_item(key=key("a")), new_item(), new_item(key=key("z"))]
    items = [*others[:2], stuck, *others[2:]]

    async with stopped_process(pools):
        answers = await asyncio.gather(
            *[shelf.store.enqueue([item]) for item in items], return_exceptions=True
        )

    refusal = answers.pop(2)
    assert isinstance(refusal, StoreUnavailable)
    assert refusal.kind == "busy"
    assert [type(answer[0]) for answer in answers if not isinstance(answer, BaseException)] == (
        [Accepted] * len(others)
    )
    [answer] = await shelf.store.enqueue([stuck])
    assert accepted(answer).id == stuck.id
