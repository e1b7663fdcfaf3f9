"""A process that is killed, locked out, or left without room, and what is in its file then."""

from __future__ import annotations

import os
import resource
import sys
from asyncio import timeout
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clock import ManualClock
from tests.store.shelf import Shelf, new_item
from tirelessd.core.errors import StartError
from tirelessd.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "tirelessd.db"


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Process]:
    """Another process that writes to the database until it is killed."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path])),
    }
    process = await create_subprocess_exec(
        sys.executable, "-m", "tests.store.driver", str(path), stdout=PIPE, env=environment
    )
    assert await line(process) == "open"
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def line(process: Process) -> str:
    """The next answer of the other process."""
    assert process.stdout is not None
    async with timeout(PATIENCE_SECONDS):
        return (await process.stdout.readline()).decode().strip()


async def lines_until(process: Process, word: str) -> list[str]:
    """The answers up to the first one that is this word."""
    found: list[str] = []
    while not found or not found[-1].startswith(word):
        found.append(await line(process))
        assert found[-1], "the process ended"
    return found


async def killed(process: Process) -> list[str]:
    """Kill the process where it stands; the answers that had come out of it."""
    process.kill()
    assert process.stdout is not None
    async with timeout(PATIENCE_SECONDS):
        rest = await process.stdout.read()
    await process.wait()
    return rest.decode().splitlines()


def stored(answers: list[str]) -> list[str]:
    """The items that were answered for; a last line may have been cut."""
    ids = [answer.removeprefix("stored ") for answer in answers if answer.startswith("stored ")]
    return [item_id for item_id in ids if len(item_id) == len(new_item().id)]


@pytest.mark.parametrize("answers", [1, 40, 400])
async def test_no_answered_item_is_lost_by_a_kill(
    writer: Process, path: Path, answers: int
) -> None:
    """Whatever was answered before `kill -9` is there afterwards, and the lock is not."""
    heard = [await line(writer) for _ in range(answers)] + await killed(writer)

    store = SqliteStore(path, clock=ManualClock())
    await store.open()

    records = [await store.get(item_id) for item_id in stored(heard)]
    await store.close()
    assert len(records) >= answers
    assert None not in records


async def test_second_process_is_kept_out_by_name(writer: Process, path: Path) -> None:
    """It fails to start with the first one's process id, which goes on unharmed."""
    store = SqliteStore(path, clock=ManualClock())

    with pytest.raises(StartError, match=f"in use by process {writer.pid},"):
        await store.open()

    assert (await line(writer)).startswith("stored ")


async def test_lock_is_free_after_a_failed_start(tmp_path: Path) -> None:
    """A start that fails lets go of what it took."""
    path = tmp_path / "broken.db"
    path.write_bytes(b"x" * 5_000)
    for _ in range(2):
        with pytest.raises(StartError, match="not a database"):
            await SqliteStore(path, clock=ManualClock()).open()


async def test_process_goes_on_when_there_is_room_again(writer: Process, path: Path) -> None:
    """Without room it answers "full", never a lie, and heals by itself."""
    assert writer.pid is not None
    limits = resource.prlimit(writer.pid, resource.RLIMIT_FSIZE)
    await lines_until(writer, "stored")

    resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (300_000, limits[1]))
    heard = await lines_until(writer, "full")
    resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, limits)
    heard += await lines_until(writer, "stored")
    heard += await killed(writer)

    shelf = Shelf(lambda clock: SqliteStore(path, clock=clock))
    await shelf.store.open()
    records = [await shelf.store.get(item_id) for item_id in stored(heard)]
    await shelf.store.close()
    assert "refused" not in heard
    assert None not in records
