"""S5: other programs open the database while the daemon works."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.exposition import Exposition
from tests.faults.conduct import check_refusals_are_quick
from tests.faults.experiment import Experiment
from tests.waiting import a_moment, wait_until

pytestmark = [pytest.mark.row("S5"), pytest.mark.long, pytest.mark.timeout(180)]

MIB = 1 << 20
LOG_SECONDS = 60.0
# A process of its own, for two connections of one process would share their locks.
SCRIPT = """
import json, sys, apsw
db = apsw.Connection(sys.argv[1])
db.set_busy_timeout(3000)
for line in sys.stdin:
    try:
        db.execute(json.loads(line)).fetchall()
        print("done", flush=True)
    except apsw.Error as error:
        print(error, flush=True)
"""


@asynccontextmanager
async def stranger(experiment: Experiment) -> AsyncIterator[Process]:
    """Somebody else's program with the database open."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, str(experiment.store_path), stdin=PIPE, stdout=PIPE
    )
    yield process
    assert process.stdin is not None
    process.stdin.close()
    await asyncio.wait_for(process.wait(), 10)


async def execute(process: Process, sql: str) -> str:
    """What came of a statement of theirs."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(sql).encode() + b"\n")
    return (await asyncio.wait_for(process.stdout.readline(), 15)).decode().strip()


async def log_bytes(experiment: Experiment) -> float:
    """The size of the log, as the daemon tells it."""
    told = Exposition(await experiment.watch.ask("/metrics"))
    return told.total("store_wal_bytes")


async def test_foreign_write_lock_is_waited_for_in_bounds(experiment: Experiment) -> None:
    """Ten seconds of BEGIN IMMEDIATE: 503 within a second each; a second later all is well."""
    await experiment.start()

    async with experiment.load(), stranger(experiment) as other:
        await a_moment(5.0)
        assert await execute(other, "BEGIN IMMEDIATE") == "done"
        await a_moment(10.0)
        unready = await experiment.watch.ask("/readyz")
        assert await execute(other, "ROLLBACK") == "done"
        await experiment.heal(1.5)

    books = await experiment.finish()
    assert "another process holds" in unready
    assert experiment.heal_seconds <= 1.0
    check_refusals_are_quick(books)


async def test_foreign_reader_makes_the_log_grow_and_nothing_fail(experiment: Experiment) -> None:
    """Every submission is accepted meanwhile; the log's size is told, and it shrinks afterwards."""
    await experiment.start()

    async with experiment.load(), stranger(experiment) as other:
        await a_moment(2.0)
        assert await execute(other, "BEGIN") == "done"
        assert await execute(other, "SELECT count(*) FROM items") == "done"
        await a_moment(45.0)
        grown = await log_bytes(experiment)
        assert await execute(other, "ROLLBACK") == "done"
        await a_moment(3.0)

    async def is_cut() -> bool:
        return await log_bytes(experiment) <= 64 * MIB

    await wait_until(is_cut, LOG_SECONDS)
    await experiment.finish()
    assert grown > 4 * MIB
    assert not experiment.ledger.of("refused")


async def test_foreign_housekeeping_is_borne(experiment: Experiment) -> None:
    """Checkpoints, a vacuum, an index, a change of mode that is refused: nothing is lost by it."""
    await experiment.start()

    async with experiment.load(), stranger(experiment) as other:
        for sql in (
            "PRAGMA wal_checkpoint(PASSIVE)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "VACUUM",
            "PRAGMA wal_checkpoint(RESTART)",
            "PRAGMA journal_mode = DELETE",
            "CREATE INDEX theirs ON items (priority)",
            "ANALYZE",
            "DELETE FROM commits",
        ):
            await a_moment(0.7)
            await execute(other, sql)
        await experiment.heal(5)

    await experiment.finish()


@pytest.mark.parametrize("what", ["TABLE results", "INDEX items_claim"])
async def test_dropped_table_ends_no_item_and_stops_everything(
    experiment: Experiment, what: str
) -> None:
    """Unready with the cause and no item blamed for it; made anew it is as if nothing had been."""
    await experiment.start()

    async with experiment.load(), stranger(experiment) as other:
        await a_moment(2.0)
        name = what.split()[1]
        definition = await definition_of(experiment, name)
        assert await execute(other, f"DROP {what}") == "done"

        async def is_told() -> bool:
            return f"{name} was dropped" in await experiment.watch.ask("/readyz")

        await wait_until(is_told, 5)
        await a_moment(2.0)
        assert await is_told()
        assert await execute(other, definition) == "done"
        await experiment.heal(5)

    books = await experiment.finish(without={"I6"})
    check_refusals_are_quick(books)


async def definition_of(experiment: Experiment, name: str) -> str:
    """The statement that makes a table or index."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys, apsw; print(apsw.Connection(sys.argv[1]).execute("
        "'SELECT sql FROM sqlite_schema WHERE name = ?', (sys.argv[2],)).get)",
        str(experiment.store_path),
        name,
        stdout=PIPE,
    )
    said, _ = await process.communicate()
    return said.decode().strip()
