"""Opening a database file: made, migrated and checked, or refused with one line that says why."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import apsw

from tirelessd.core.errors import StartError, StoreUnavailable
from tirelessd.store.sqlite.evidence import LogEvidence
from tirelessd.store.sqlite.schema import APPLICATION_ID, MIGRATIONS

# The start may spend this long on looking for damage; a large file is looked at in part.
CHECK_SECONDS: Final = 0.5
# SQLite shortens its log to this when it starts over, after a long foreign reader made it grow.
LOG_LIMIT_PAGES: Final = 4_096
_PAGE_BYTES: Final = 4_096
# How many pages are looked at between two looks at the clock.
_CHECK_PAGES: Final = 100

_DEFINITIONS: Final = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
_READ_WRITE: Final = apsw.SQLITE_OPEN_READWRITE
_CREATE: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_READ_ONLY: Final = apsw.SQLITE_OPEN_READONLY


def rows(db: apsw.Connection, sql: str, **values: Any) -> list[Any]:
    """What one statement answers."""
    return db.execute(sql, values).fetchall()


def pragma(db: apsw.Connection, name: str) -> Any:
    """The value of a pragma."""
    return db.execute(f"PRAGMA {name}").get


def open_writer(path: Path, busy_seconds: float) -> apsw.Connection:
    """The connection that writes and checkpoints; commits on it are durable when they return.

    Raises `apsw.Error`, or `StartError` when durability cannot be had.
    """
    db = apsw.Connection(str(path), flags=_READ_WRITE)
    try:
        _configure(db, busy_seconds)
        _make_durable(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _make_durable(db: apsw.Connection, path: Path) -> None:
    if db.readonly("main"):
        raise StartError(f"{path} cannot be written")
    journal_mode = pragma(db, "journal_mode = wal")
    # Checkpoints are the writer's own affair: they must not happen inside somebody's commit.
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT_PAGES * _PAGE_BYTES}")
    db.execute("PRAGMA synchronous = FULL")
    if journal_mode != "wal" or pragma(db, "synchronous") != 2:
        raise StartError(f"{path}: no write-ahead log with full synchronisation to be had here")


def open_reader(path: Path, busy_seconds: float) -> apsw.Connection:
    """A connection that cannot write and never checkpoints."""
    db = apsw.Connection(str(path), flags=_READ_ONLY)
    try:
        _configure(db, busy_seconds)
    except BaseException:
        db.close()
        raise
    return db


def _configure(db: apsw.Connection, busy_seconds: float) -> None:
    db.set_busy_timeout(int(busy_seconds * 1000))
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA cache_size = -8192")


def is_there(path: Path) -> bool:
    """Whether there is a database to be opened; raises `StartError` for what cannot be one."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise StartError(f"{path} is {kind}; the store must be a file")
    return True


def prepare(
    path: Path,
    busy_seconds: float,
    monotonic: Callable[[], float],
    *,
    is_same_boot: bool = False,
) -> None:
    """Make the database if there is none, bring its schema up to date, and look for damage.

    A file that is no sound database of ours is refused with `StartError` and left as it is.
    `is_same_boot`: the system has run ever since the database was last used.
    """
    try:
        if not is_there(path):
            _create(path, busy_seconds)
        examine(path, busy_seconds, monotonic, is_same_boot=is_same_boot)
        _bring_up_to_date(path, busy_seconds)
    except apsw.Error as error:
        raise StartError(f"{path}: {in_words(error)}") from error
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from error


def in_words(error: apsw.Error) -> str:
    """What keeps a start from the database, for the one line that it ends with."""
    if isinstance(error, apsw.NotADBError):
        return "this is not a database"
    if isinstance(error, apsw.CorruptError):
        return f"the database is damaged ({error}); restore it from a backup"
    if isinstance(error, apsw.CantOpenError | apsw.ReadOnlyError):
        return f"the database cannot be opened for writing ({error})"
    if isinstance(error, apsw.BusyError):
        return "another process holds the database's write lock"
    return f"SQLite: {error}"


def _create(path: Path, busy_seconds: float) -> None:
    """Make a new database under another name and move it into place when it is whole.

    So an empty or half-made file is never ours, and an empty one can be refused as damaged.
    """
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise StartError(f"{path} is missing, but {log} holds changes to it; restore both")
    unfinished = path.with_name(path.name + ".new")
    for left_over in (unfinished, *_beside(unfinished)):
        left_over.unlink(missing_ok=True)
    db = apsw.Connection(str(unfinished), flags=_CREATE)
    try:
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        pragma(db, "journal_mode = wal")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    finally:
        db.close()
    _bring_up_to_date(unfinished, busy_seconds)
    unfinished.rename(path)
    _sync_directory(path.parent)


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def examine(
    path: Path, busy_seconds: float, monotonic: Callable[[], float], *, is_same_boot: bool
) -> None:
    """Refuse what is not ours or not whole, on a connection that cannot change a byte.

    Raises `StartError`, `apsw.Error` or `OSError`.
    """
    status = path.stat()
    if status.st_nlink > 1:
        raise StartError(
            f"{path} has {status.st_nlink} names, and what was last written to it may stand "
            "beside another one; leave it only the name that it was used under"
        )
    if status.st_size == 0:
        raise StartError(f"{path} is empty, so a database was lost here; restore or remove it")
    evidence = LogEvidence(path)
    db = open_reader(path, busy_seconds)
    try:
        _judge(db, path, monotonic)
        evidence.check(db, is_same_boot=is_same_boot)
    except BaseException:
        db.close()
        evidence.restore_index()
        raise
    db.close()


def _judge(db: apsw.Connection, path: Path, monotonic: Callable[[], float]) -> None:
    if pragma(db, "application_id") != APPLICATION_ID:
        raise StartError(f"{path} is a database of another program")
    version = pragma(db, "user_version")
    if version > len(MIGRATIONS):
        raise StartError(
            f"{path} was written by a newer tirelessd: its schema is version {version}, "
            f"this one knows {len(MIGRATIONS)}"
        )
    damage = _quick_check(db, monotonic)
    if damage != "ok":
        raise StartError(f"{path}: the database is damaged ({damage}); restore it from a backup")


def _quick_check(db: apsw.Connection, monotonic: Callable[[], float]) -> str:
    """The first damage that SQLite finds in the time there is, or "ok"."""
    ends_at = monotonic() + CHECK_SECONDS
    db.set_progress_handler(lambda: monotonic() > ends_at, _CHECK_PAGES)
    try:
        return str(pragma(db, "quick_check(1)")).rpartition("\n")[2]
    except apsw.InterruptError:
        return "ok"


def _bring_up_to_date(path: Path, busy_seconds: float) -> None:
    db = open_writer(path, busy_seconds)
    try:
        migrate(db, MIGRATIONS)
    finally:
        db.close()


@cache
def _tables() -> Mapping[str, str]:
    """Every table and index that the migrations make, and how it is defined."""
    db = apsw.Connection(":memory:")
    try:
        migrate(db, MIGRATIONS)
        return dict(rows(db, _DEFINITIONS))
    finally:
        db.close()


def check_tables(db: apsw.Connection) -> None:
    """Raise `StoreUnavailable` naming a table or index that somebody has dropped or changed."""
    found = dict(rows(db, _DEFINITIONS))
    for name, definition in _tables().items():
        if found.get(name) != definition:
            raise StoreUnavailable(
                f"the database's {name} was dropped or changed by somebody; "
                "stop the daemon and restore a backup"
            )


def migrate(db: apsw.Connection, migrations: Sequence[str]) -> None:
    """Run the migrations that the database has not had, each whole or not at all, in order.

    A start that is killed between two of them goes on with the next one.
    """
    for version in range(pragma(db, "user_version"), len(migrations)):
        db.execute("BEGIN IMMEDIATE")
        db.execute(migrations[version])
        db.execute(f"PRAGMA user_version = {version + 1}")
        db.execute("COMMIT")
