"""D6: a database that would lose what was accepted, or that takes nothing for the moment."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.database import USER, Database
from tests.faults.experiment import Experiment
from tests.faults.refusal import refused
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


@pytest.mark.row("D6")
async def test_start_on_a_database_that_forgets_is_refused(
    experiment: Experiment, database: Database
) -> None:
    """`synchronous_commit` is off for the role: one line that names it, and how to allow it."""
    await database.execute(
        f"ALTER ROLE {USER} IN DATABASE {database.name} SET synchronous_commit = off"
    )

    refusal = await refused(experiment.make_daemon())

    assert "synchronous_commit is off" in refusal.line
    assert "allow_unsafe_durability" in refusal.line
    assert refusal.code == 2


@pytest.mark.row("D6")
@pytest.mark.long
async def test_start_on_a_server_that_does_not_flush_is_refused(
    experiment: Experiment, database: Database
) -> None:
    """`fsync` is off: one line that names it."""
    daemon = experiment.make_daemon()
    await asyncio.to_thread(database.server.stop)
    await asyncio.to_thread(database.server.start, fsync="off")
    try:
        refusal = await refused(daemon)
    finally:
        await asyncio.to_thread(database.server.stop)
        await asyncio.to_thread(database.server.start)

    assert "fsync is off" in refusal.line
    assert refusal.code == 2


@pytest.mark.row("D6")
@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("setting", "cause"),
    [
        ("default_transaction_read_only = on", "read-only"),
        ("synchronous_commit = off", "synchronous_commit is off"),
    ],
    ids=["read-only", "forgetful"],
)
async def test_database_that_becomes_unfit_is_waited_for(
    experiment: Experiment, database: Database, setting: str, cause: str
) -> None:
    """It changes under load: nothing is accepted until it is as it was, and then all goes on."""
    name, _, _ = setting.partition(" ")
    alter = f"ALTER ROLE {USER} IN DATABASE {database.name}"
    await experiment.start()

    async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
        await a_moment(5.0)
        await database.execute(f"{alter} SET {setting}")
        await database.end_sessions()
        await wait_unready(experiment, cause)
        await a_moment(20.0)
        await database.execute(f"{alter} RESET {name}")
        await experiment.heal(HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    check_refusals_are_quick(books)
