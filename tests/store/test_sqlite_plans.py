"""How SQLite executes each statement of the store: by search, whatever the size of the tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

import apsw
import pytest

from tirelessd.store.sqlite import accept, claim, old, pauses, reads, settle, snapshot, upkeep
from tirelessd.store.sqlite.schema import MIGRATIONS

MODULES = (accept, claim, old, pauses, reads, settle, snapshot, upkeep)
# What a claim may cost beside a million scheduled items, in steps of SQLite's machine.
MOST_STEPS_OF_AN_EMPTY_CLAIM = 400


def statements(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The name and the text of each statement that a module has as a constant."""
    for name, value in vars(module).items():
        texts = value.items() if isinstance(value, dict) else [("", value)]
        for key, text in texts if name.isupper() else ():
            is_whole = isinstance(text, str) and "{" not in text
            if is_whole and re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", text):
                yield f"{name} {key}".strip(), text


ALL = {
    f"{module.__name__.rpartition('.')[2]}.{name}": text
    for module in MODULES
    for name, text in statements(module)
}


@pytest.fixture
def db() -> Iterator[apsw.Connection]:
    """An empty database; nothing is ever analysed, so its plans are those of any size."""
    db = apsw.Connection(":memory:")
    for migration in MIGRATIONS:
        db.execute(migration)
    yield db
    db.close()


def values(sql: str) -> dict[str, object]:
    """Something for each parameter."""
    lists = ("rows", "ids", "leases", "keys", "tokens")
    return {name: "[]" if name in lists else 1 for name in re.findall(r":(\w+)", sql)}


def test_every_kind_of_statement_is_looked_at() -> None:
    """The plans below are of all verbs."""
    verbs = {
        "accept.IS_READY": False,
        "claim.FIND_FRESH": True,
        "claim.NEXT_FRESH": True,
        "claim.FIND_ORPHANED": True,
        "claim.IS_READY": True,
        "upkeep.EXPIRE": True,
        "old.OLDEST_ENDED": True,
        "reads.LIST_DEAD": True,
        "snapshot.COUNTS": True,
    }

    assert {name for name, is_needed in verbs.items() if is_needed} <= set(ALL)
    assert len(ALL) >= 40


@pytest.mark.parametrize("name", ALL)
def test_no_statement_walks_a_table_or_sorts(db: apsw.Connection, name: str) -> None:
    """No scan of a table, no temporary tree: the cost follows what is found, not what is stored."""
    sql = ALL[name]
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]

    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values(sql))]

    scanned = [step for step in plan if step.startswith("SCAN") and step.split()[1] in tables]
    assert scanned == [], plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("claim.FIND_FRESH", "items_claim (queue=? AND priority=? AND due_at<?)"),
        ("claim.FIND_RECOVERED", "items_recovered (queue=? AND priority=? AND due_at<?)"),
        ("claim.IS_READY", "items_claim (queue=? AND priority=? AND due_at<?)"),
        ("claim.NEXT_FRESH", "items_claim (queue=? AND priority=? AND due_at>?)"),
        ("claim.FIND_ORPHANED", "items_leased (queue>?)"),
        ("upkeep.EXPIRE", "items_deadline (deadline_at<?)"),
        ("upkeep.DEAD_IN_ORDER", "items_dead (finished_at>?)"),
        ("old.OLDEST_ENDED", "items_ended (queue=? AND state=? AND finished_at<?)"),
        ("reads.LISTS None", "items_queue (queue=? AND rowid>? AND rowid<?)"),
        ("reads.LIST_DEAD", "items_dead ((finished_at,id)>(?,?))"),
        ("snapshot.COUNTS", "items_claim (queue=? AND priority=? AND due_at>?)"),
        ("snapshot.COUNTS", "items_ended (queue=? AND state=? AND finished_at>?)"),
        ("snapshot.LONGEST_DUE", "items_claim (queue=? AND priority=? AND due_at<?)"),
    ],
)
def test_statement_searches_its_own_index(db: apsw.Connection, name: str, index: str) -> None:
    """Down to the columns that narrow the search."""
    sql = ALL[name]

    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values(sql))]

    assert any(step.startswith("SEARCH items") and step.endswith(index) for step in plan), plan


@pytest.mark.parametrize("name", ["claim.FIND_FRESH", "claim.IS_READY", "claim.NEXT_FRESH"])
def test_empty_claim_costs_the_same_beside_many_scheduled_items(
    db: apsw.Connection, name: str
) -> None:
    """The steps of SQLite's machine are the same with nothing and with thousands waiting."""
    db.execute("BEGIN")
    before = steps(db, ALL[name])
    db.execute(
        """
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO items SELECT i, i, 'work', 'queued', i % 10, 0, 1, 0, 0.0, 100.0 + i,
            100.0 + i, 1e9, 1e9, NULL, NULL, NULL, NULL FROM n
        """
    )

    after = steps(db, ALL[name])

    assert before <= after <= MOST_STEPS_OF_AN_EMPTY_CLAIM


def steps(db: apsw.Connection, sql: str) -> int:
    """How many steps a statement takes at the time 1, when nothing is due."""
    counted: list[int] = []

    def count(event: dict[str, dict[str, int]]) -> None:
        counted.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"])

    db.trace_v2(apsw.SQLITE_TRACE_PROFILE, count)
    db.execute(sql, {**values(sql), "queue": "work", "now": 1.0, "limit": 64}).fetchall()
    db.trace_v2(0)
    return counted[-1]
