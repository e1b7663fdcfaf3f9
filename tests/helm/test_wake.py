"""What KEDA asks the database while there are no pods, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import msgspec
import pytest
from asyncpg import Connection, Record

from tests.helm.chart import render, the
from tests.helm.values import DATABASE, PLAIN
from tests.store.still import StillDatabase

VALUES: Final = {
    **PLAIN,
    "store": DATABASE,
    "split": {"enabled": True},
    "monitoring": {"prometheusRule": {"enabled": True}},
    "autoscaling": {"kind": "keda", "minReplicas": 0, "keda": {"wakeAheadSeconds": 600}},
}
NOW: Final = 10_000
WAITING: Final[dict[str, Any]] = {
    "queue": "items",
    "state": "queued",
    "due_at": NOW + 700,
    "owner": None,
    "lost_leases": 0,
    "finished_at": None,
}
INSERT: Final = """
INSERT INTO items (id, queue, state, priority, accepted_at, first_due_at, due_at, deadline_at,
    deadline_seconds, owner, lost_leases, finished_at)
SELECT gen_random_uuid(), $1, $2, i % 10, 0, $3, $3::float + i, 1e9, 1e9, $4, $5, $6
FROM generate_series(1, $7) AS i
"""


def wake() -> str:
    """The query of the chart."""
    triggers = the(render(VALUES), "ScaledObject")["spec"]["triggers"]
    (query,) = [each["metadata"]["query"] for each in triggers if each["name"] == "wake"]
    return str(query)


@pytest.fixture
async def db() -> AsyncIterator[Connection[Record]]:
    """An empty store, at a time that stands still."""
    database = StillDatabase()
    await database.open()
    connection = await asyncpg.connect(database.url)
    await connection.execute(f"SET tirelessd.now = {NOW}")
    yield connection
    await connection.close()


async def put(db: Connection[Record], count: int = 1, **other: Any) -> None:
    """Store items that wait for longer than anybody is woken for, but for what is said."""
    await db.execute(INSERT, *(WAITING | other).values(), count)


@pytest.mark.parametrize(
    ("other", "is_awake"),
    [
        ({}, False),
        ({"due_at": NOW - 5}, True),
        ({"due_at": NOW + 500}, True),
        ({"due_at": NOW + 500, "lost_leases": 1}, True),
        ({"state": "leased", "owner": 1}, True),
        ({"due_at": NOW - 5, "queue": "forgotten"}, False),
        ({"due_at": NOW - 5, "state": "succeeded", "finished_at": NOW - 1}, False),
    ],
    ids=["later", "due", "soon due", "lost a lease", "runs", "of no queue", "ended"],
)
async def test_a_pod_is_woken_for_work(
    db: Connection[Record], other: dict[str, Any], *, is_awake: bool
) -> None:
    """An item that runs, is due, or soon will be; none of a queue that nobody attempts."""
    await put(db, **other)

    assert await db.fetchval(wake()) == int(is_awake)


async def test_nothing_to_do_wakes_nobody(db: Connection[Record]) -> None:
    """An empty store has no work."""
    assert await db.fetchval(wake()) == 0


async def test_asking_costs_the_same_however_many_wait(db: Connection[Record]) -> None:
    """A few pages for each queue and priority: KEDA asks several times a minute."""
    await put(db, count=20_000)
    await db.execute("ANALYZE items")

    text = await db.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {wake()}")

    plan = msgspec.json.decode(text)[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 200
