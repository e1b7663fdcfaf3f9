"""One shelf per kind of store: whatever the contract promises is tested on each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.clock import ManualClock
from tests.store.shelf import Shelf
from tests.store.still import StillDatabase, StillPools
from tirelessd.store.base import Store
from tirelessd.store.postgres.store import PostgresStore
from tirelessd.store.sqlite import SqliteStore

MakeStore = Callable[[ManualClock], Store]


def sqlite(tmp_path: Path) -> MakeStore:
    """The embedded store on a real file."""
    return lambda clock: SqliteStore(tmp_path / "tirelessd.db", clock=clock)


def postgresql(_tmp_path: Path) -> MakeStore:
    """The shared store on a real server, at the time of the test's clock."""
    database = StillDatabase()
    return lambda clock: PostgresStore(StillPools(database, clock), clock=clock)


KINDS: dict[str, Callable[[Path], MakeStore]] = {"sqlite": sqlite, "postgresql": postgresql}


@pytest.fixture(params=KINDS)
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """An open, empty store, at a time that stands still."""
    shelf = Shelf(KINDS[request.param](tmp_path))
    await shelf.store.open()
    yield shelf
    await shelf.store.close()
