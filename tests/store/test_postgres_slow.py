"""A database on which every write takes long: each commit does what it has the time for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.clock import ManualClock
from tests.store.shelf import LEASE_SECONDS, Shelf, new_item, succeed
from tests.store.still import StillDatabase, StillPools, open_shelf
from tirelessd.store.base import Claimed

# Together longer than a transaction may take.
QUEUES = [f"queue-{number}" for number in range(11)]
SLOW = """
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
CREATE TRIGGER slow BEFORE UPDATE ON items FOR EACH STATEMENT EXECUTE FUNCTION be_slow()
"""
QUICK = "DROP TRIGGER IF EXISTS slow ON items; DROP FUNCTION IF EXISTS be_slow"


@pytest.fixture
async def database() -> AsyncIterator[StillDatabase]:
    """An empty database, quick again for the next test."""
    database = StillDatabase()
    await database.open()
    yield database
    await execute(database, QUICK)


@pytest.fixture
async def shelf(database: StillDatabase) -> AsyncIterator[Shelf]:
    """An open store with two items in each queue."""
    async with open_shelf(StillPools(database, ManualClock())) as shelf:
        await shelf.put(*[new_item(queue) for queue in QUEUES * 2])
        yield shelf


async def execute(database: StillDatabase, sql: str) -> None:
    """Have the database changed from outside."""
    connection = await asyncpg.connect(database.url)
    await connection.execute(sql)
    await connection.close()


async def claim_together(shelf: Shelf) -> dict[str, Claimed]:
    """What one claim of each queue comes to, all in one commit."""
    claims = [shelf.store.claim(queue, 1, LEASE_SECONDS) for queue in QUEUES]
    return dict(zip(QUEUES, await asyncio.gather(*claims), strict=True))


async def test_claims_that_take_too_long_together_take_turns(
    shelf: Shelf, database: StillDatabase
) -> None:
    """Some get their items; the others are told to come again, and then come first."""
    await execute(database, SLOW)
    first = await claim_together(shelf)

    second = await claim_together(shelf)

    served = {queue for queue in QUEUES if first[queue].claims}
    served_next = {queue for queue in QUEUES if second[queue].claims}
    assert served
    assert {first[queue].next_due_in_seconds for queue in QUEUES if queue not in served} == {0.0}
    assert served_next
    assert not served & served_next


async def test_settlements_hold_whatever_time_their_refills_would_take(
    shelf: Shelf, database: StillDatabase
) -> None:
    """All are written; as many slots are refilled as there is time for."""
    claims = [claimed.claims[0] for claimed in (await claim_together(shelf)).values()]
    await execute(database, SLOW)

    settled = await shelf.store.settle([succeed(claim, refill=True) for claim in claims])

    refilled = sum(one.refill is not None for one in settled)
    assert all(one.is_held for one in settled)
    assert 0 < refilled < len(QUEUES)
