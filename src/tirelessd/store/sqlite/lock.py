"""One daemon per database: a lock file beside it, held by the kernel for as long as we live.

The database file itself is never opened except by SQLite: closing any other handle on it would
drop the POSIX locks that SQLite holds for the whole process (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tirelessd.core.errors import StartError


class LockFile:
    """An exclusive `flock` on `<database>.lock`, which holds the holder's process id for people.

    The kernel frees it when the process ends, however it ends; the file itself stays.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock or raise `StartError` naming the holder; never waits."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StartError(f"cannot write {self._path}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StartError(
                f"{self._database} is in use by process {holder}, which holds {self._path}"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StartError(f"cannot write {self._path}: {error.strerror}") from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the lock go; idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
