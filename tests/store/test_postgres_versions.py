"""Two versions on one database, and what a migration that is killed or held up leaves behind."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest
from asyncpg import Connection, Record

from tests.clock import ManualClock
from tests.postgres import make_database
from tests.recorder import Recorder
from tests.store.shelf import Shelf, key, new_item, retry, succeed
from tests.waiting import wait_until
from tirelessd.core.errors import Misconfigured, StoreUnavailable
from tirelessd.core.item import State
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.postgres.migrate import (
    LOCK,
    Migration,
    bring_up,
    latest,
    migrations,
    schema_of,
)
from tirelessd.store.postgres.pools import PostgresPools
from tirelessd.store.postgres.store import PostgresStore

ROOT = Path(__file__).parents[2]
OURS = tuple(migrations())
# What a later build would bring: more columns and a table, which this build knows nothing of.
EXPANDED = Migration(
    latest() + 1,
    "expand",
    latest(),
    "ALTER TABLE items ADD note text NOT NULL DEFAULT ''; ALTER TABLE pauses ADD why text;"
    "ALTER TABLE idempotency_keys ADD made_by text; CREATE TABLE notes (item uuid)",
)
# And what the one after that would take away.
CONTRACTED = Migration(latest() + 2, "contract", latest() + 1, "ALTER TABLE pauses DROP expires_at")
# What a process does that is killed in between: the step is made, and its commit never comes.
KILLED = """
import asyncio, sys, asyncpg
from tirelessd.store.postgres.migrate import Migration, bring_up, latest, migrations

step = Migration(latest() + 1, "slow", 1, "CREATE TABLE half (a int); SELECT pg_sleep(60)")

async def migrate():
    connection = await asyncpg.connect(sys.argv[1])
    await bring_up(connection, is_migrating=True, steps=[*migrations(), step])

asyncio.run(migrate())
"""
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
# The server notices within a second that nobody waits for its answer any more.
NOTICE_SECONDS = 10.0


@pytest.fixture
async def url() -> str:
    """An empty database."""
    return await make_database()


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Connection[Record]]:
    """A connection to it."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


def pod(url: str) -> Shelf:
    """A process of this version."""
    config = PostgresConfig(url=url, allows_unsafe_durability=True)
    return Shelf(
        lambda clock: PostgresStore(PostgresPools(config, clock, Recorder()), clock=clock),
        ManualClock(),
    )


async def do_everything(shelf: Shelf, text: str) -> Sequence[State]:
    """Accept with keys, claim, fail, cancel, pause, list and succeed; the states in the end."""
    done, failed, gone = await shelf.put(*[new_item(key=key(f"{text}-{n}")) for n in range(3)])
    await shelf.store.cancel(gone)
    claims = {claim.item.id: claim for claim in await shelf.take()}
    await shelf.settle(succeed(claims[done], b"42"), retry(claims[failed]))
    await shelf.store.pause("work", 60.0)
    await shelf.store.resume("work")
    return [(await shelf.record(each)).state for each in (done, failed, gone)]


DONE = [State.SUCCEEDED, State.QUEUED, State.CANCELLED]


async def test_an_older_version_works_on_through_an_expansion(
    url: str, connection: Connection[Record]
) -> None:
    """Nothing it does fails while or after a newer one adds columns; neither does its restart."""
    shelf = pod(url)
    await shelf.store.open()
    before = await do_everything(shelf, "before")

    await bring_up(connection, is_migrating=True, steps=[*OURS, EXPANDED])
    # What the newer version writes, the older one reads, and the other way round.
    await connection.execute("UPDATE items SET note = 'of the newer version'")
    after = await do_everything(shelf, "after")
    await shelf.reopen()
    again = await do_everything(shelf, "again")

    assert [before, after, again] == [DONE] * 3
    assert await connection.fetchval("SELECT count(*) FROM items WHERE note = ''") == 6
    await shelf.store.close()


async def test_an_older_version_is_refused_after_a_contraction(
    url: str, connection: Connection[Record]
) -> None:
    """What it would look for has gone: its next start says which version is needed."""
    shelf = pod(url)
    await shelf.store.open()
    await bring_up(connection, is_migrating=True, steps=[*OURS, EXPANDED, CONTRACTED])

    with pytest.raises(Misconfigured, match=f"needs a tirelessd of schema {latest() + 1}"):
        await shelf.reopen()

    await shelf.store.close()


async def test_a_killed_migration_leaves_nothing(url: str, connection: Connection[Record]) -> None:
    """Killed with a step half made, it is undone by the server, and the next one is not held up."""
    await bring_up(connection, is_migrating=True)
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), *sys.path]))
    process = await create_subprocess_exec(
        *(sys.executable, "-c", KILLED, url),
        stderr=DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )

    async def is_half_way() -> bool:
        return bool(await connection.fetchval(SLEEPING))

    try:
        await wait_until(is_half_way, NOTICE_SECONDS)
    finally:
        process.kill()
        await process.wait()

    applied = await bring_up(
        connection, is_migrating=True, steps=[*OURS, EXPANDED], lock_seconds=NOTICE_SECONDS
    )

    assert [step.name for step in applied] == ["expand"]
    assert await connection.fetchval("SELECT to_regclass('half') IS NULL")


async def test_another_one_s_migration_is_not_waited_for_for_ever(
    url: str, connection: Connection[Record]
) -> None:
    """The error says that somebody migrates, and that it may go well later."""
    other = await asyncpg.connect(url)
    async with other.transaction():
        await other.execute(f"SELECT pg_advisory_xact_lock({LOCK})")

        with pytest.raises(StoreUnavailable, match="another process has been migrating") as told:
            await bring_up(connection, is_migrating=True, lock_seconds=0.1)

    assert told.value.kind == "busy"
    assert len(await bring_up(connection, is_migrating=True)) == latest()
    await other.close()


async def test_a_table_in_use_is_not_waited_for_for_ever(
    url: str, connection: Connection[Record]
) -> None:
    """A long transaction of somebody's must not have every caller queue up behind a migration."""
    await bring_up(connection, is_migrating=True)
    other = await asyncpg.connect(url)
    async with other.transaction():
        await other.execute("SELECT FROM items")

        with pytest.raises(StoreUnavailable, match=f"version {latest() + 1} of its schema waits"):
            await bring_up(connection, is_migrating=True, steps=[*OURS, EXPANDED], lock_seconds=0.1)

    assert (await schema_of(connection)).version == latest()
    await other.close()


async def test_starts_at_once_migrate_once(url: str, connection: Connection[Record]) -> None:
    """Five processes find an empty database, and each of them is soon in service."""
    shelves = [pod(url) for _ in range(5)]

    await asyncio.gather(*(shelf.store.open() for shelf in shelves))

    assert await connection.fetchval("SELECT count(*) FROM schema_versions") == latest()
    assert len({shelf.store.label for shelf in shelves}) == 1
    for shelf in shelves:
        await shelf.store.close()
