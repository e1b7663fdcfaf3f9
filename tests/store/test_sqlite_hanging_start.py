"""A start on a disk that hangs can be given up at once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from tirelessd.core.clock import SystemClock
from tirelessd.store.sqlite import SqliteStore, connection, thread


async def test_cancelled_open_waits_for_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cancels it hears so while the disk still hangs; closing waits for it."""
    hanging, answered = threading.Event(), threading.Event()
    prepare = connection.prepare

    def hang(*args: Any, **named: Any) -> None:
        hanging.set()
        answered.wait(30)
        prepare(*args, **named)

    monkeypatch.setattr(thread, "prepare", hang)
    store = SqliteStore(tmp_path / "t.db", clock=SystemClock())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await store.open()
    was_hanging = hanging.is_set() and not answered.is_set()
    answered.set()
    await store.close()

    assert was_hanging
    again = SqliteStore(tmp_path / "t.db", clock=SystemClock())
    await again.open()
    await again.close()
