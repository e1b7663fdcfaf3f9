"""How PostgreSQL executes each statement of the store: by index, whatever a table's size."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import asyncpg
import msgspec
import pytest
from asyncpg import Connection, Record

from tests.store.still import StillDatabase
from tirelessd.store.postgres import accept, claim, lists, reads, settle, snapshot, upkeep
from tirelessd.store.postgres.transaction import BEGIN

MODULES = (accept, claim, lists, reads, settle, snapshot, upkeep)
# What an empty claim may read beside any number of scheduled items, in pages.
MOST_PAGES_OF_AN_EMPTY_CLAIM = 100
SCANS = {"Seq Scan", "Bitmap Heap Scan", "Tid Scan"}
# Indexes that are walked from one end as far as a limit goes, or that hold no more entries than
# there are slots or queues.
WALKED = {
    "accept.INSERT": {"pauses_pkey"},
    "claim.TAKE_OVER": {"items_leased"},
    "claim.TAKE_BACK": {"items_leased"},
    "reads.LEASES": {"items_leased"},
    "reads.OVERDUE": {"items_leased"},
    "reads.PAUSES": {"pauses_pkey"},
    "settle.UNDO": {"items_leased"},
    "snapshot.QUEUE_NAMES": {"items_queue"},
    "lists.DEAD_IN_ORDER": {"items_dead"},
    "upkeep.DEAD_IN_ORDER": {"items_dead"},
    "upkeep.DELETE_MARKS": {"commits", "commits_pkey"},
    "upkeep.DELETE_IN_ORDER": {"items_dead"},
    "upkeep.REDRIVE_IN_ORDER": {"items_dead"},
}
# What each statement must be searched by, if nothing else.
SEARCHES = (
    ("claim.CLAIM", "items_claim", "priority = level.priority"),
    ("claim.CLAIM", "items_recovered", "priority = level_1.priority"),
    ("claim.CLAIM", "items_pkey", "id = "),
    ("claim.NEXT_DUE", "items_claim", "due_at >"),
    ("claim.TAKE_OVER", "items_leased", ""),
    ("accept.INSERT", "items_claim", "due_at <="),
    ("settle.SUCCEED", "items_pkey", "id = "),
    ("settle.FAIL", "items_pkey", "id = "),
    ("settle.RENEW", "items_pkey", "id = "),
    ("settle.UNDO", "items_leased", ""),
    ("upkeep.EXPIRE", "items_deadline", "deadline_at <="),
    ("upkeep.DEAD_IN_ORDER", "items_dead", ""),
    ("upkeep.PURGE", "items_ended", "finished_at <="),
    ("upkeep.DELETE_KEYS", "idempotency_keys_expiry", "expires_at <="),
    ("lists.LISTS queued", "items_queue", "number >"),
    ("lists.LIST_DEAD", "items_dead", "ROW(finished_at, id) >"),
    ("lists.FEW ready", "items_claim", "due_at <="),
    ("snapshot.COUNTS", "items_claim", "due_at >"),
    ("snapshot.COUNTS", "items_ended", "state = 'succeeded'"),
    ("snapshot.READY_AGES", "items_claim", "due_at <="),
)
SCHEDULED = """
INSERT INTO items (id, queue, state, priority, accepted_at, first_due_at, due_at, deadline_at,
    deadline_seconds)
SELECT gen_random_uuid(), 'work', 'queued', i % 10, 0, 100 + i, 100 + i, 1e9, 1e9
FROM generate_series(1, 5000) AS i
"""


def statements(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The name and the text of each statement that a module has as a constant."""
    for name, value in vars(module).items():
        texts = value.items() if isinstance(value, dict) else [("", value)]
        for key, text in texts if name.isupper() and not name.startswith("_") else ():
            is_whole = isinstance(text, str) and "{" not in text
            if is_whole and re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", text):
                yield f"{name} {key}".strip(), text


ALL = {
    f"{module.__name__.rpartition('.')[2]}.{name}": text
    for module in MODULES
    for name, text in statements(module)
}


# A plan must not depend on what the tables seemed to hold when it was made.
@pytest.fixture(params=["never analysed", "analysed when empty", "analysed when full"])
async def db(request: pytest.FixtureRequest) -> AsyncIterator[Connection[Record]]:
    """A database in a transaction as every write has it, at the time 1."""
    database = StillDatabase()
    await database.open()
    connection = await asyncpg.connect(database.url)
    if request.param == "analysed when full":
        await connection.execute(SCHEDULED)
    if request.param != "never analysed":
        await connection.execute("VACUUM ANALYZE items")
    await connection.execute(f"{BEGIN}; SET LOCAL tirelessd.now = 1")
    yield connection
    await connection.close()


async def plan(db: Connection[Record], sql: str) -> list[dict[str, Any]]:
    """All nodes of the plan that is made once for a statement, without values."""
    count = max([int(number) for number in re.findall(r"\$(\d+)", sql)], default=0)
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    await db.execute(f"PREPARE asked AS {sql}")
    text = await db.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE asked {values}")
    await db.execute("DEALLOCATE asked")
    return list(nodes(msgspec.json.decode(text)[0]["Plan"]))


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node and all below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)


def test_every_kind_of_statement_is_looked_at() -> None:
    """The plans below are of all verbs."""
    verbs = {
        "accept.INSERT",
        "accept.TAKE_KEYS",
        "claim.CLAIM",
        "claim.NEXT_DUE",
        "claim.TAKE_OVER",
        "settle.SUCCEED",
        "settle.FAIL",
        "settle.RENEW",
        "upkeep.EXPIRE",
        "upkeep.PURGE",
        "lists.LIST_DEAD",
        "snapshot.COUNTS",
    }

    assert verbs <= set(ALL)
    assert len(ALL) >= 50


async def test_no_statement_walks_a_table(db: Connection[Record]) -> None:
    """No scan of a table or of a whole index: the cost follows what is found."""
    plans = {name: await plan(db, sql) for name, sql in ALL.items()}

    strays = {name: walks(steps) - WALKED.get(name, set()) for name, steps in plans.items()}
    assert {name: walked for name, walked in strays.items() if walked} == {}


def walks(steps: list[dict[str, Any]]) -> set[str]:
    """The tables and indexes of ours that a plan reads from one end to the other."""
    scanned = {step["Relation Name"] for step in steps if step["Node Type"] in SCANS}
    walked = {
        step["Index Name"]
        for step in steps
        if step["Node Type"].startswith("Index") and "Index Cond" not in step
    }
    return {name for name in scanned | walked if not name.startswith("pg_")} - {"identity"}


async def test_statements_search_their_own_index(db: Connection[Record]) -> None:
    """Down to the columns that narrow the search."""
    plans = {name: await plan(db, ALL[name]) for name, _, _ in SEARCHES}

    strays = [
        (name, index, condition)
        for name, index, condition in SEARCHES
        if not any(
            step.get("Index Name") == index and condition in step.get("Index Cond", "")
            for step in plans[name]
        )
    ]
    assert strays == []


@pytest.mark.parametrize("name", ["claim.CLAIM", "claim.NEXT_DUE", "accept.INSERT"])
async def test_due_items_are_found_without_sorting(db: Connection[Record], name: str) -> None:
    """The index has their order; only what was found for one claim is put in order."""
    steps = await plan(db, ALL[name])

    sorts = [step for step in steps if "Sort" in step["Node Type"]]
    below = [each.get("Index Name") for step in sorts for each in nodes(step)]
    under_locks = [step for step in steps if step["Node Type"] == "LockRows"]
    assert not [step for lock in under_locks for step in nodes(lock) if "Sort" in step["Node Type"]]
    assert not sorts or name == "claim.CLAIM", below


async def test_empty_claim_reads_the_same_beside_many_scheduled_items(
    db: Connection[Record],
) -> None:
    """A handful of pages per priority, with nothing and with thousands waiting."""
    before = await pages(db)
    await db.execute(SCHEDULED)

    after = await pages(db)

    assert max(before, after) <= MOST_PAGES_OF_AN_EMPTY_CLAIM


async def pages(db: Connection[Record]) -> int:
    """How many pages an empty claim reads."""
    await db.execute(f"PREPARE asked AS {claim.CLAIM}")
    text = await db.fetchval(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
        "EXECUTE asked ('work', 64, 1, ARRAY[]::bigint[], 1, 30)"
    )
    await db.execute("DEALLOCATE asked")
    top = msgspec.json.decode(text)[0]["Plan"]
    return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])
