"""One shelf per kind of store: whatever the contract promises is tested on each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.clock import ManualClock
from tests.store.shelf import Shelf
from tirelessd.store.base import Store
from tirelessd.store.sqlite import SqliteStore

MakeStore = Callable[[ManualClock], Store]


def sqlite(tmp_path: Path) -> MakeStore:
    """The embedded store on a real file."""
    return lambda clock: SqliteStore(tmp_path / "tirelessd.db", clock=clock)


# A second store joins the suite by a line here.
KINDS: dict[str, Callable[[Path], MakeStore]] = {"sqlite": sqlite}


@pytest.fixture(params=KINDS)
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    """An open, empty store, at a time that stands still."""
    shelf = Shelf(KINDS[request.param](tmp_path))
    await shelf.store.open()
    yield shelf
    await shelf.store.close()
