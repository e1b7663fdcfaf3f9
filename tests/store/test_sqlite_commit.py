"""What follows from one commit for all verbs, as only the embedded store has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.conftest import sqlite
from tests.store.shelf import Shelf, Slots, new_item, retry


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
