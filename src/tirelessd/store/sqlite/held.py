"""A database held as a daemon would hold it, but only read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from tirelessd.core.errors import StartError
from tirelessd.store.sqlite.connection import examine, in_words, open_reader, pragma
from tirelessd.store.sqlite.lock import LockFile
from tirelessd.store.sqlite.schema import MIGRATIONS

BUSY_SECONDS: Final = 1.0


@contextmanager
def held(path: Path, monotonic: Callable[[], float]) -> Iterator[apsw.Connection]:
    """Keep daemons away from a file that is there, and read it; not a byte of it is changed.

    Raises `StartError`, also for what turns out to be damaged in between.
    """
    lock = LockFile(path)
    lock.acquire(is_reader=True)
    try:
        db = _open(path, lock, monotonic)
        try:
            yield db
        finally:
            # Before the lock's own handle, for to close that one drops SQLite's locks.
            db.close(force=True)
    except apsw.Error as error:
        raise StartError(f"{path}: {in_words(error)}") from error
    finally:
        lock.release()


def _open(path: Path, lock: LockFile, monotonic: Callable[[], float]) -> apsw.Connection:
    try:
        lock.hold()
        examine(path, BUSY_SECONDS, monotonic, is_same_boot=lock.is_same_boot)
        return open_reader(path, BUSY_SECONDS)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from error


def versions(path: Path, monotonic: Callable[[], float]) -> tuple[int, int]:
    """The version of its schema, and the one that this build is made for; raises `StartError`."""
    with held(path, monotonic) as db:
        return int(pragma(db, "user_version")), len(MIGRATIONS)
