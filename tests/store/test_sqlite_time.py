"""The store's time over restarts: a clock that was set meanwhile neither floods nor freezes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.recorder import Recorder
from tests.store.shelf import Shelf, new_item, retry
from tirelessd.core.events import ClockDiffers
from tirelessd.store.sqlite import SqliteStore

DAY_SECONDS = 86_400.0
WAIT_SECONDS = 100.0


@pytest.fixture
def recorder() -> Recorder:
    """Who is told."""
    return Recorder()


@pytest.fixture
async def shelf(tmp_path: Path, recorder: Recorder) -> AsyncIterator[Shelf]:
    """A store whose clock can be set, and one item that waits for its second attempt."""
    shelf = Shelf(lambda clock: SqliteStore(tmp_path / "t.db", clock=clock, emit=recorder))
    await shelf.store.open()
    await shelf.put(new_item())
    claim = await shelf.take_one()
    await shelf.settle(retry(claim, WAIT_SECONDS))
    yield shelf
    await shelf.store.close()


def boot(path: Path) -> None:
    """Let the system have been down since the last start."""
    lock = path / "t.db.lock"
    pid, _, *rest = lock.read_text().split("\n")
    lock.write_text("\n".join([pid, "another-boot", *rest]))


@pytest.mark.parametrize("jump", [-DAY_SECONDS, DAY_SECONDS])
async def test_clock_set_between_two_starts_changes_no_wait(
    shelf: Shelf, recorder: Recorder, jump: float
) -> None:
    """What waits a hundred seconds waits a hundred seconds, and the difference is told."""
    shelf.clock.jump(jump)
    shelf.clock.advance(WAIT_SECONDS / 2)

    await shelf.reopen()
    early = await shelf.take()
    shelf.clock.advance(WAIT_SECONDS / 2 * 1.1)
    late = await shelf.take()

    (told,) = recorder.of(ClockDiffers)
    assert (len(early), len(late)) == (0, 1)
    assert abs(told.ahead_seconds + jump) < 1


async def test_clock_set_back_over_a_boot_freezes_nothing(shelf: Shelf, tmp_path: Path) -> None:
    """Of how long the system was down nobody knows, but the store's time does not go back."""
    boot(tmp_path)
    shelf.clock.jump(-DAY_SECONDS)

    await shelf.reopen()
    shelf.clock.advance(WAIT_SECONDS * 1.1)

    assert len(await shelf.take()) == 1


async def test_time_that_the_system_was_down_has_passed(shelf: Shelf, tmp_path: Path) -> None:
    """After a boot the wall clock tells how long ago everything was."""
    boot(tmp_path)
    shelf.clock.jump(WAIT_SECONDS)

    await shelf.reopen()

    assert len(await shelf.take()) == 1
