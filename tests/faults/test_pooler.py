"""D6: a transaction pooler between daemons and database: each transaction meets some session."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.database import USER, Database
from tests.faults.experiment import Experiment
from tests.faults.mounts import needed
from tests.faults.refusal import refused
from tests.faults.shared import (
    CALLERS,
    HEALED_SECONDS,
    MIXED,
    RATE,
    wait_idle,
    what_unknown_fates_break,
)
from tests.postgres import free_port
from tests.waiting import a_moment, wait_until

CONFIG = """
[databases]
{name} = host=127.0.0.1 port={server_port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
"""


@asynccontextmanager
async def pooler(database: Database) -> AsyncIterator[int]:
    """PgBouncer in transaction mode, with fewer sessions than a daemon has connections; its port.

    Skips where it is not installed.
    """
    needed("pgbouncer")
    port = free_port()
    config = database.server.folder / f"{database.name}.ini"
    config.write_text(
        CONFIG.format(name=database.name, server_port=database.port, user=USER, port=port)
    )
    database.server.give(config)
    process = start(config)
    url = database.url_through(port)
    try:
        await wait_until(lambda: answers(url), 5)
        yield port
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


def start(config: Path) -> subprocess.Popen[bytes]:
    """The pooler's process; it refuses to run as root."""
    program = shutil.which("pgbouncer")
    assert program is not None
    nobody = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    with config.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [program, str(config)], user=nobody, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


async def answers(url: str) -> bool:
    """Whether somebody there speaks for the database."""
    try:
        connection = await asyncpg.connect(url, statement_cache_size=0)
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


@pytest.mark.row("D6")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_transaction_pooler_is_good_enough(
    experiment: Experiment, database: Database
) -> None:
    """Without a cache of statements all is as before, also when the sessions behind it end."""
    async with pooler(database) as port:
        await experiment.start(
            store=database.url_through(port),
            store_postgresql={"statement_cache": 0, "direct_url": database.url},
        )

        async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
            for _ in range(3):
                await a_moment(5.0)
                await database.end_sessions()
            await experiment.heal(HEALED_SECONDS)
            await a_moment(5.0)
        await wait_idle(experiment)

        books = await experiment.finish(without=what_unknown_fates_break(experiment))
    assert len(books.acked) >= 0.9 * len(books.entries)
    check_refusals_are_quick(books)


@pytest.mark.row("D6")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_transaction_pooler_that_forgets_statements_is_refused(
    experiment: Experiment, database: Database
) -> None:
    """With a cache of statements there is no start, but a line that says what to set."""
    async with pooler(database) as port:
        refusal = await refused(experiment.make_daemon(store=database.url_through(port)))

    assert "store_postgresql.statement_cache: 0" in refusal.line
    assert refusal.code == 2
