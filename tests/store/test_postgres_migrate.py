"""The shared store's schema is brought up once, by whoever comes first, and never backwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from asyncpg import Connection, Record

from tests.postgres import make_database
from tirelessd.core.errors import Misconfigured, StoreUnavailable
from tirelessd.store.postgres.migrate import (
    Migration,
    Schema,
    apply,
    bring_up,
    latest,
    migrations,
    schema_of,
)

# What a later build would bring: a column more, and then one less.
EXPANDED = Migration(latest() + 1, "expand", latest(), "ALTER TABLE pauses ADD why text")
CONTRACTED = Migration(
    latest() + 2, "contract", latest() + 1, "ALTER TABLE pauses DROP COLUMN expires_at"
)
BROKEN = Migration(
    latest() + 1, "broken", latest() + 1, "CREATE TABLE half (a int); SELECT no_such()"
)
SLOW = Migration(1, "slow", 1, "CREATE TABLE one (a int); SELECT pg_sleep(0.05)")
OURS = tuple(migrations())


@pytest.fixture
async def connection() -> AsyncIterator[Connection[Record]]:
    """A connection to an empty database."""
    connection = await asyncpg.connect(await make_database())
    yield connection
    await connection.close()


async def test_an_empty_database_gets_every_migration(connection: Connection[Record]) -> None:
    """A first start makes all that is needed, and says which version it has come to."""
    applied = await bring_up(connection, is_migrating=True)

    assert [step.version for step in applied] == [step.version for step in OURS]
    assert (await schema_of(connection)).version == latest()


async def test_a_second_start_changes_nothing(connection: Connection[Record]) -> None:
    """What is there is not made again."""
    await bring_up(connection, is_migrating=True)

    assert await bring_up(connection, is_migrating=True) == []


async def test_two_starts_at_once_migrate_once() -> None:
    """Whoever comes second waits, and finds it done."""
    url = await make_database()
    both = [await asyncpg.connect(url) for _ in range(2)]

    applied = await asyncio.gather(*(apply(each, SLOW) for each in both))

    assert sorted(applied) == [False, True]
    for each in both:
        await each.close()


async def test_a_migration_that_fails_leaves_nothing(connection: Connection[Record]) -> None:
    """It is one transaction: the next start finds the schema of before."""
    await bring_up(connection, is_migrating=True)

    with pytest.raises(asyncpg.UndefinedFunctionError):
        await bring_up(connection, is_migrating=True, steps=[*OURS, BROKEN])

    assert (await schema_of(connection)).version == latest()
    assert await connection.fetchval("SELECT to_regclass('half') IS NULL")


async def test_an_expanded_schema_serves_the_version_before(
    connection: Connection[Record],
) -> None:
    """During a rolling update the old daemons go on, and may restart."""
    await bring_up(connection, is_migrating=True, steps=[*OURS, EXPANDED])

    assert await bring_up(connection, is_migrating=True) == []
    assert await schema_of(connection) == Schema(latest() + 1, latest())


async def test_a_contracted_schema_refuses_who_is_too_old(connection: Connection[Record]) -> None:
    """Two versions behind, a daemon would meet tables that it does not know."""
    await bring_up(connection, is_migrating=True, steps=[*OURS, EXPANDED, CONTRACTED])

    with pytest.raises(Misconfigured, match=f"its schema has version {latest() + 2}"):
        await bring_up(connection, is_migrating=True)


async def test_who_may_not_migrate_waits_for_whoever_does(
    connection: Connection[Record],
) -> None:
    """With migrations as a step of their own, a start before that step is merely too early."""
    with pytest.raises(StoreUnavailable, match="run tirelessd migrate"):
        await bring_up(connection, is_migrating=False)

    assert (await schema_of(connection)).version == 0


async def test_a_schema_that_may_not_be_used_is_refused(connection: Connection[Record]) -> None:
    """A user with no right to a table is told which, before any item is accepted."""
    await bring_up(connection, is_migrating=True)
    await connection.execute("DROP ROLE IF EXISTS poor; CREATE ROLE poor")
    await connection.execute("GRANT SELECT ON schema_versions TO poor; SET ROLE poor")

    with pytest.raises(Misconfigured, match="the table commits; GRANT"):
        await bring_up(connection, is_migrating=True)

    await connection.execute("RESET ROLE; DROP OWNED BY poor; DROP ROLE poor")


def test_migrations_are_numbered_without_a_gap() -> None:
    """Each is one more than the one before, and none is compatible with the future."""
    assert [step.version for step in OURS] == [*range(1, len(OURS) + 1)]
    assert all(1 <= step.compatible_from <= step.version for step in OURS)
