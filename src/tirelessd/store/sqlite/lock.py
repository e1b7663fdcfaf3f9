"""One daemon per database: locks of the kernel, held for as long as we live.

The database file itself is opened only by SQLite and by `hold`, which keeps it open until SQLite
is done: closing any other handle on it would drop the POSIX locks that SQLite holds for the whole
process (sqlite.org/howtocorrupt.html, 2.2). A `flock` is another kind of lock and disturbs none.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tirelessd.core.errors import StartError

_WITH_DATABASE: Final = "with-database"
_MOST_BYTES: Final = 256


class LockFile:
    """An exclusive `flock` on `<database>.lock`, and with `hold` on the database itself.

    The file holds the holder's process id, for people, the system's boot and whether a database has
    been here. It stays when the process ends; its lock goes, however that ends. The lock on the
    database is one under all of its names, whatever becomes of the lock file.

    `is_same_boot` tells that the system has not been down since the last holder.
    """

    def __init__(self, database: Path) -> None:
        self.database = database
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None
        self._held: int | None = None
        self._had_database = False
        self.is_same_boot = False

    def acquire(self, *, is_reader: bool = False) -> None:
        """Take the lock or raise `StartError` naming the holder; never waits.

        Of one who only reads nothing is remembered but the process.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StartError(f"cannot write {self._path}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            words = _words(descriptor)
            self._had_database = _WITH_DATABASE in words
            self.is_same_boot = _boot() in words
            # The boot of the last one who wrote: by it the next one reads the log and the clock.
            self._sign(descriptor, words[1:] if is_reader else None)
        except BlockingIOError:
            holder = (_words(descriptor) or ["unknown"])[0]
            os.close(descriptor)
            raise StartError(
                f"{self.database} is in use by process {holder}, which holds {self._path}"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StartError(f"cannot write {self._path}: {error.strerror}") from None
        self._descriptor = descriptor

    def check_new(self) -> None:
        """Raise `StartError` if a new database would stand in the place of one that is gone."""
        if self._had_database:
            raise StartError(
                f"{self.database} is gone, but it was here; restore it, or delete {self._path} "
                "to begin with an empty one"
            )

    def hold(self) -> int:
        """Lock the database's file, which must exist; the descriptor of it, for reading.

        Raises `StartError` when another process holds it, under this name or another. The
        descriptor outlives every connection of SQLite to the file, as it must (see above).
        """
        if self._held is None:
            descriptor = os.open(self.database, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = holder_of(descriptor)
                os.close(descriptor)
                raise StartError(
                    f"{self.database} is in use by process {holder}, perhaps under another name"
                ) from None
            self._held = descriptor
        return self._held

    def remember(self) -> None:
        """From now on a database is here, and no other start may take its absence for new."""
        if self._descriptor is not None and not self._had_database:
            self._had_database = True
            self._sign(self._descriptor)

    def release(self) -> None:
        """Let the locks go; idempotent."""
        for descriptor in (self._held, self._descriptor):
            if descriptor is not None:
                os.close(descriptor)
        self._held = self._descriptor = None

    def _sign(self, descriptor: int, kept: Sequence[str] | None = None) -> None:
        ours = [_boot(), _WITH_DATABASE if self._had_database else ""]
        words = [str(os.getpid()), *(ours if kept is None else kept)]
        content = "\n".join(words).encode()
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))


def _words(descriptor: int) -> list[str]:
    return os.pread(descriptor, _MOST_BYTES, 0).decode("ascii", "replace").split()


def _boot() -> str:
    """What names this run of the system; a new word whenever that cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"unknown-{os.urandom(8).hex()}"


def holder_of(descriptor: int) -> str:
    """Who holds the `flock` on a file, by the kernel's list; "unknown" when it does not say."""
    status = os.fstat(descriptor)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5] == f"{device}:{status.st_ino}":
                return fields[4]
    return "unknown"
