"""What a database file must be to be opened, and what becomes of one that is not."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tests.clock import ManualClock
from tests.store.disk import FaultyDisk
from tests.store.shelf import Shelf, new_item
from tirelessd.core.errors import StartError
from tirelessd.store.sqlite import SqliteStore
from tirelessd.store.sqlite.connection import migrate, open_reader, open_writer, pragma, prepare
from tirelessd.store.sqlite.schema import APPLICATION_ID, MIGRATIONS

PAGE_BYTES = 4_096
SEED = 20_260_101


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "tirelessd.db"


@pytest.fixture
async def database(path: Path) -> Path:
    """A sound database with a few hundred items, closed."""
    shelf = Shelf(lambda clock: SqliteStore(path, clock=clock))
    await shelf.store.open()
    await shelf.bury(*[new_item() for _ in range(300)])
    await shelf.store.close()
    return path


async def refusal(path: Path) -> str:
    """The one line that a start on this file ends with."""
    with pytest.raises(StartError) as raised:
        await SqliteStore(path, clock=ManualClock()).open()
    line = str(raised.value)
    assert "\n" not in line
    assert path.name in line
    return line


def garbage(length: int) -> bytes:
    """Bytes that mean nothing, the same in every run."""
    return random.Random(SEED).randbytes(length)


def overwrite(path: Path, offset: int, other: bytes) -> None:
    """Put other bytes into a file; a negative offset counts from its end."""
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        file.write(other)


def content(path: Path) -> bytes:
    """Every byte of a file."""
    return path.read_bytes()


def make(name: str, content: bytes) -> Path:
    """Put a file somewhere."""
    path = Path(name)
    path.write_bytes(content)
    return path


def link_to(path: Path, link: Path) -> Path:
    """Give a file another name."""
    link.symlink_to(path)
    return link


def names_beside(path: Path) -> list[str]:
    """What there is in the file's folder."""
    return sorted(file.name for file in path.parent.iterdir())


def garble_header(path: Path) -> None:
    """Make the file no database."""
    overwrite(path, 0, garbage(100))


def halve(path: Path) -> None:
    """Cut the file in two."""
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    """Leave nothing of the file but its name."""
    os.truncate(path, 0)


def replace_by_text(path: Path) -> None:
    """Put somebody's notes there instead."""
    path.write_text("milk\nbread\n" * 500)


def raise_version(path: Path) -> None:
    """Let a later release have written it."""
    db = apsw.Connection(str(path))
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()


def make_foreign(path: Path) -> None:
    """Put another program's database there instead."""
    path.unlink()
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE notes (text)")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (garble_header, "not a database"),
        (halve, "damaged"),
        (empty, "is empty, so a database was lost here"),
        (replace_by_text, "not a database"),
        (raise_version, "written by a newer tirelessd"),
        (make_foreign, "database of another program"),
    ],
)
async def test_spoilt_file_is_refused_and_left_alone(
    database: Path, spoil: Callable[[Path], None], said: str
) -> None:
    """One line names the cause, and not a byte is changed, nor another file put in its place."""
    spoil(database)
    before = content(database)

    line = await refusal(database)

    assert said in line
    assert content(database) == before


@pytest.mark.parametrize("page", range(1, 12))
async def test_garbage_in_one_page_is_found(database: Path, page: int) -> None:
    """Whichever page of the tree it is."""
    overwrite(database, page * PAGE_BYTES, garbage(PAGE_BYTES))
    before = content(database)

    line = await refusal(database)

    assert "damaged" in line
    assert content(database) == before


async def test_check_for_damage_is_bounded(database: Path) -> None:
    """When its time is over the rest of a large file goes unseen, and the start goes on."""
    shelf = Shelf(lambda clock: SqliteStore(database, clock=clock))
    await shelf.store.open()
    for _ in range(10):
        await shelf.put(*[new_item() for _ in range(1_000)])
    await shelf.store.close()
    overwrite(database, -PAGE_BYTES, garbage(PAGE_BYTES))
    each_look_takes_a_second = map(float, itertools.count())

    prepare(database, 0.1, each_look_takes_a_second.__next__)

    assert "damaged" in await refusal(database)


async def test_garbage_in_the_logs_index_does_no_harm(database: Path) -> None:
    """SQLite makes it anew."""
    make(f"{database}-shm", garbage(32_768))
    store = SqliteStore(database, clock=ManualClock())

    await store.open()

    snapshot = await store.snapshot(["work"])
    await store.close()
    assert sum(snapshot.queues["work"].counts.values()) == 300


async def test_log_without_its_database_is_no_new_start(path: Path) -> None:
    """Half a backup was restored, or half the files deleted: nothing is made in their place."""
    log = make(f"{path}-wal", garbage(5_000))

    line = await refusal(path)

    assert "restore both" in line
    assert names_beside(path) == [log.name, f"{path.name}.lock"]
    assert content(log) == garbage(5_000)


async def test_start_that_was_killed_while_making_the_file_leaves_no_trace(path: Path) -> None:
    """The half-made file stands under another name, and the next start makes it anew."""
    for suffix in (".new", ".new-wal", ".new-shm"):
        make(f"{path}{suffix}", garbage(5_000))
    store = SqliteStore(path, clock=ManualClock())

    await store.open()

    await store.probe()
    await store.close()
    assert names_beside(path) == [path.name, f"{path.name}.lock"]


@pytest.mark.parametrize("folder", ["nowhere", "a-file"])
async def test_folder_that_cannot_hold_it_is_named(tmp_path: Path, folder: str) -> None:
    """A folder that is missing, or is none, is no traceback."""
    (tmp_path / "a-file").touch()

    line = await refusal(tmp_path / folder / "tirelessd.db")

    assert "cannot write" in line


async def test_file_that_cannot_be_written_is_refused(database: Path) -> None:
    """A store that could only be read is none."""
    with FaultyDisk() as disk:
        disk.is_read_only = True

        line = await refusal(database)

    assert "cannot be written" in line


async def test_both_names_of_one_file_have_one_lock(database: Path, tmp_path: Path) -> None:
    """A symbolic link is no way around it."""
    link = link_to(database, tmp_path / "link.db")
    store = SqliteStore(database, clock=ManualClock())
    await store.open()

    with pytest.raises(StartError, match="in use by process"):
        await SqliteStore(link, clock=ManualClock()).open()

    await store.close()


def test_writing_connection_commits_durably(database: Path) -> None:
    """With a log, synchronised at every commit; checkpoints are the writer's own affair."""
    db = open_writer(database, 0.25)

    found = {
        name: pragma(db, name)
        for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "busy_timeout")
    }

    db.close()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": 0,
        "busy_timeout": 250,
    }


def test_reading_connection_cannot_write(database: Path) -> None:
    """SQLite itself refuses."""
    db = open_reader(database, 0.1)

    with pytest.raises(apsw.ReadOnlyError):
        db.execute("DELETE FROM items")

    db.close()


def test_file_says_whose_it_is(database: Path) -> None:
    """Its header has our mark and the version of its schema."""
    db = open_reader(database, 0.1)

    mark, version = pragma(db, "application_id"), pragma(db, "user_version")

    db.close()
    assert (mark, version) == (APPLICATION_ID, len(MIGRATIONS))


async def test_label_is_the_files_own(tmp_path: Path) -> None:
    """Another file has another one; a file that is moved and opened again keeps its own."""
    labels = []
    for before, after in (("a", "a"), ("b", "b"), ("a", "c")):
        if before != after:
            (tmp_path / before).rename(tmp_path / after)
        store = SqliteStore(tmp_path / after, clock=ManualClock())
        await store.open()
        labels.append(store.label)
        await store.close()

    first, second, moved = labels

    assert first.startswith("sqlite-")
    assert first != second
    assert moved == first


def test_migrations_run_once_and_in_order() -> None:
    """Each release adds its own to what is there."""
    db = apsw.Connection(":memory:")
    first = ["CREATE TABLE notes (text)"]
    later = [*first, "ALTER TABLE notes ADD COLUMN author", "INSERT INTO notes VALUES ('a', 'b')"]

    migrate(db, first)
    migrate(db, later)
    migrate(db, later)

    assert db.execute("SELECT * FROM notes").fetchall() == [("a", "b")]
    assert pragma(db, "user_version") == 3


def test_failing_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    """It happens whole or not at all; those before it stay."""
    path = str(tmp_path / "notes.db")
    db = apsw.Connection(path)
    with pytest.raises(apsw.SQLError):
        migrate(db, ["CREATE TABLE notes (text)", "CREATE TABLE more (text); nonsense"])
    db.close()
    db = apsw.Connection(path)

    tables = db.execute("SELECT name FROM sqlite_schema").fetchall()

    version = pragma(db, "user_version")
    db.close()
    assert (tables, version) == ([("notes",)], 1)


def test_library_is_free_of_the_lost_commit_bug() -> None:
    """Versions before 3.51.3 may lose commits (sqlite.org/wal.html#walresetbug)."""
    version = apsw.sqlite_lib_version()

    assert tuple(map(int, version.split("."))) >= (3, 51, 3)


async def test_name_too_long_for_a_file_is_refused(tmp_path: Path) -> None:
    """What no file can be called ends the start with the cause, not with a traceback."""
    line = await refusal(tmp_path / ("d" * 300))

    assert "File name too long" in line
