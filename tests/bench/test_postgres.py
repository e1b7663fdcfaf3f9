"""The server of the benchmarks, watched from outside."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bench.books import Ended, books_of
from bench.postgres import running_postgres

ITEM = """
INSERT INTO items VALUES ('work', 'succeeded', 7.0), ('work', 'dead', 9.0), ('work', 'dead', 1.0)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One where whoever runs the server may go, as root may not run it."""
    with TemporaryDirectory(prefix="tirelessd-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_server_keeps_accounts_and_books_of_what_is_done_on_it(folder: Path) -> None:
    """What a statement wrote stands in the server's accounts, and what has ended in the books."""
    with running_postgres(folder) as server:
        database = await server.make_database("work")
        await database.count_statements()
        before = await database.accounts()

        await database.ask("CREATE TABLE items (queue text, state text, finished_at float8)")
        await database.ask(ITEM)
        done = (await database.accounts()).since(before)
        ended = await books_of(database.url).ended("work", 5.0)

    assert done.statements >= 2
    assert done.transactions >= 2
    assert done.wal_bytes > 100
    assert done.cpu_seconds >= 0.0
    assert ended == Ended(succeeded=1, dead=1, last_at=9.0)
