"""S3: the daemon is started on files that are damaged, foreign, or only half there."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import aiohttp
import apsw
import pytest

from tests.faults.experiment import Experiment
from tests.faults.refusal import refused
from tests.store.shelf import Shelf, new_item
from tirelessd.store.sqlite import SqliteStore

pytestmark = pytest.mark.unhurried

SUFFIXES = ("", "-wal", "-shm", ".lock")
long = pytest.mark.long


@pytest.fixture
async def database(experiment: Experiment, tmp_path: Path) -> Path:
    """What a killed daemon left: items in the database, and more in its log."""
    (tmp_path / "alive").mkdir()
    alive = tmp_path / "alive" / "tirelessd.db"
    shelf = Shelf(lambda clock: SqliteStore(alive, clock=clock))
    await shelf.store.open()
    await shelf.bury(*[new_item(payload=bytes(500)) for _ in range(100)])
    await shelf.reopen()
    await shelf.bury(*[new_item(payload=bytes(500)) for _ in range(100)])
    for suffix in SUFFIXES:
        shutil.copyfile(f"{alive}{suffix}", f"{experiment.store_path}{suffix}")
    await shelf.store.close()
    return experiment.store_path


def garbage(path: Path, start: int, length: int) -> None:
    """Write bytes that mean nothing into a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(random.Random(1).randbytes(length))


def beside(path: Path, suffix: str) -> Path:
    """A file of the database's."""
    return path.with_name(path.name + suffix)


def without_index(path: Path, change: Callable[[Path], None]) -> None:
    """Change a file as it is after a move to another machine: without the log's index."""
    change(path)
    beside(path, "-shm").unlink()


def run_sql(path: Path, *statements: str) -> None:
    """Have somebody else's program change the database."""
    db = apsw.Connection(str(path))
    for statement in statements:
        db.execute(statement)
    db.close()


def in_order(path: Path, change: Callable[[Path], None]) -> None:
    """Change a file as a daemon leaves it that was stopped: with nothing in its log."""
    run_sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    change(path)


def replace(path: Path, make: Callable[[Path], object]) -> None:
    """Put something else where the database was, and leave nothing beside it."""
    for suffix in SUFFIXES:
        beside(path, suffix).unlink()
    make(path)


def drop_everything_but(path: Path, *suffixes: str) -> None:
    """Leave only these of the database's files."""
    for suffix in set(SUFFIXES) - set(suffixes):
        beside(path, suffix).unlink()


SPOILT: dict[str, tuple[Callable[[Path], object], str, bool]] = {
    "header": (lambda p: in_order(p, lambda f: garbage(f, 0, 99)), "not a database", False),
    "half": (lambda p: os.truncate(p, p.stat().st_size // 8192 * 4096), "damaged", False),
    "page": (lambda p: in_order(p, lambda f: garbage(f, 3 << 12, 4096)), "damaged", True),
    "text": (lambda p: replace(p, lambda f: f.write_text("milk\n" * 999)), "not a data", True),
    "newer": (lambda p: run_sql(p, "PRAGMA user_version = 99"), "newer tirelessd", True),
    "foreign": (lambda p: run_sql(p, "PRAGMA application_id = 7"), "another program", True),
    "table dropped": (lambda p: run_sql(p, "DROP TABLE results"), "results was dropped", True),
    "empty": (lambda p: os.truncate(p, 0), "is empty", True),
    "folder": (lambda p: replace(p, lambda f: f.mkdir()), "is a folder", True),
    "link": (lambda p: replace(p, lambda f: f.symlink_to(f"{f}.x")), "nothing is there", True),
    "pipe": (lambda p: replace(p, os.mkfifo), "no regular file", True),
    "two names": (lambda p: beside(p, ".b").hardlink_to(p), "has 2 names", True),
    "gone": (lambda p: drop_everything_but(p, ".lock"), "but it was here", True),
    "log only": (lambda p: drop_everything_but(p, "-wal"), "restore both", True),
    "log garbage": (lambda p: garbage(beside(p, "-wal"), 0, 9_000), "commits in it", False),
    "log inside": (lambda p: garbage(beside(p, "-wal"), 9_000, 9), "commits in it", True),
    "log cut": (lambda p: os.truncate(beside(p, "-wal"), 9_000), "commits in it", True),
    "log empty": (lambda p: os.truncate(beside(p, "-wal"), 0), "commits in it", True),
    "log gone": (lambda p: beside(p, "-wal").unlink(), "commits in it", True),
    "log moved": (
        lambda p: without_index(p, lambda f: garbage(beside(f, "-wal"), 0, 99)),
        "commits in it",
        True,
    ),
}


def content(path: Path) -> list[bytes]:
    """The bytes of the database and of its log; an empty log is none."""
    files = (path, beside(path, "-wal"))
    return [file.read_bytes() if file.is_file() else b"" for file in files]


@pytest.mark.row("S3")
@pytest.mark.parametrize(
    "damage",
    [pytest.param(name, marks=[long] if case[2] else []) for name, case in SPOILT.items()],
)
async def test_spoilt_files_are_refused_and_left_alone(
    experiment: Experiment, database: Path, damage: str
) -> None:
    """The start ends at once with one line that names the cause; a second one says the same."""
    spoil, said, _ = SPOILT[damage]
    spoil(database)
    before = content(database)
    daemon = experiment.make_daemon()

    first, second = await refused(daemon), await refused(daemon)

    assert said in first.line
    assert second.line == first.line
    assert content(database) == before


@pytest.mark.row("S3")
@pytest.mark.parametrize("damage", ["garbage", pytest.param("gone", marks=[long])])
async def test_start_without_a_sound_index_recovers_everything(
    experiment: Experiment, database: Path, damage: str
) -> None:
    """SQLite makes the log's index anew from the log, so nothing is lost with it."""
    index = beside(database, "-shm")
    if damage == "gone":
        index.unlink()
    else:
        garbage(index, 0, 32_768)

    await experiment.start()

    async with (
        aiohttp.ClientSession() as session,
        session.get(experiment.url("/v1/queues/work")) as response,
    ):
        assert (await response.json())["counts"]["dead"] == 200
    assert await experiment.stop() == 0
