"""What follows from one commit for all verbs, as only the embedded store has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clock import ManualClock
from tests.recorder import Recorder
from tests.store.conftest import sqlite
from tests.store.shelf import Shelf, Slots, new_item, retry
from tirelessd.core.events import UnexpectedError
from tirelessd.store.sqlite import SqliteStore
from tirelessd.store.sqlite.writer import Writer


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    """An open, empty store, at a time that stands still."""
    shelf = Shelf(sqlite(tmp_path))
    await shelf.store.open()
    yield shelf
    await shelf.store.close()


async def test_item_that_becomes_ready_in_the_commit_goes_first(shelf: Shelf) -> None:
    """A retry that is due at once stands before an item accepted in the same commit."""
    slots = Slots(free=1)
    await shelf.put(new_item())
    claim = await shelf.take_one()

    await asyncio.gather(
        shelf.store.enqueue([new_item()], slots), shelf.settle(retry(claim, seconds=0.0))
    )

    assert slots.claims == []


async def test_snapshot_measures_the_disk(shelf: Shelf) -> None:
    """It tells the room left and what the log takes."""
    await shelf.put(new_item(payload=bytes(100_000)))

    snapshot = await shelf.store.snapshot([])

    assert snapshot.free_bytes is not None
    assert snapshot.free_bytes > 0
    assert snapshot.log_bytes is not None
    assert snapshot.log_bytes > 0


async def test_error_of_the_thread_that_nobody_foresaw_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored is stored; a checkpoint that raises must not do so unheard."""

    def fail(_writer: Writer) -> None:
        raise ArithmeticError("a defect")

    monkeypatch.setattr(Writer, "checkpoint", fail)
    recorder = Recorder()
    store = SqliteStore(tmp_path / "tirelessd.db", clock=ManualClock(), emit=recorder)
    await store.open()

    await store.enqueue([new_item()])
    told = await recorder.wait_for(UnexpectedError)
    await store.close()

    assert [str(event.error) for event in told] == ["a defect"]
