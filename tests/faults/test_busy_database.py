"""D4: others leave the daemon no connection, lock its tables, or make each of its writes slow."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.database import Database
from tests.faults.experiment import Experiment, Scale
from tests.faults.shared import (
    CALLERS,
    HEALED_SECONDS,
    MIXED,
    RATE,
    wait_idle,
    wait_unready,
    what_unknown_fates_break,
)
from tests.waiting import a_moment

# A slot is held while the commit before its own is written, and its own: settlements, the claims
# of the slots that they free, renewals and rescues, each a statement of half a second. That is up
# to four seconds, so many slots are needed for sixty items in one, whatever shares a commit.
SLOTS_WHEN_SLOW = 320
LEAST_PER_SECOND = 60.0
WRITE_SECONDS = 0.5
ROOM_SECONDS = 0.2
SLOW = f"""
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep({WRITE_SECONDS}); RETURN NULL; END $$;
CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON items FOR EACH STATEMENT EXECUTE FUNCTION be_slow()
"""


@pytest.mark.row("D4")
@pytest.mark.timeout(120)
async def test_server_without_a_free_connection_is_waited_for(
    experiment: Experiment, scale: Scale, database: Database
) -> None:
    """Others take every session that there may be: 503 with the server's word, until they go."""
    await experiment.start()

    async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
        await a_moment(scale.pick(0.3, 5.0))
        async with AsyncExitStack() as others:
            await take_all(others, database)
            await wait_unready(experiment, "connection slots")
            await a_moment(scale.pick(0.2, 20.0))
        await experiment.heal(HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    check_refusals_are_quick(books)


async def take_all(others: AsyncExitStack, database: Database) -> None:
    """Open sessions until the server has no more, none left to the daemons."""
    await database.end_sessions()
    while True:
        try:
            connection = await asyncpg.connect(database.url)
        except asyncpg.TooManyConnectionsError:
            if not await database.end_sessions(but="held"):
                return
            continue
        others.push_async_callback(connection.close)
        await connection.execute("SET application_name = 'held'")


@pytest.mark.row("D4")
@pytest.mark.timeout(120)
@pytest.mark.long
async def test_table_that_is_locked_is_waited_for(
    experiment: Experiment, database: Database
) -> None:
    """Somebody locks the items: callers hear 503 within a second, and all goes on afterwards."""
    await experiment.start()

    async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
        await a_moment(5.0)
        connection = await asyncpg.connect(database.server.url(database.name))
        async with connection.transaction():
            await connection.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
            await wait_unready(experiment, "the database does not answer in time")
            await a_moment(20.0)
        await connection.close()
        await experiment.heal(HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    check_refusals_are_quick(books)


@pytest.mark.row("D4")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_slow_writes_share_their_commits(experiment: Experiment, database: Database) -> None:
    """Half a second for every statement that writes items: all are accepted, sixty a second done.

    A caller waits for the commit that is being written and for its own; nobody is refused for it,
    except where the slowness came as a surprise.
    """
    await experiment.start(queue={"slots": SLOTS_WHEN_SLOW})
    await database.execute(SLOW)
    loop = asyncio.get_running_loop()

    async with experiment.load(rate=RATE, connections=200):
        await a_moment(5.0)
        began_at = loop.time()
        done_before = len(experiment.upstream.hits)
        await a_moment(20.0)
        ended_at = loop.time()
        done = len(experiment.upstream.hits) - done_before
    await database.execute("DROP TRIGGER slow ON items")
    await experiment.heal(HEALED_SECONDS)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    seconds = ended_at - began_at
    assert done / seconds >= LEAST_PER_SECOND
    # To drop the trigger locks the table, which those hear of who wait at that moment.
    waited = [e for e in books.entries if began_at <= e.sent_at and e.answered_at < ended_at]
    assert len(waited) / seconds >= LEAST_PER_SECOND
    assert [e.status for e in waited if e.status != 202] == []
    check_refusals_are_quick(books, 2 * WRITE_SECONDS + ROOM_SECONDS)
