"""The database's files as they lie on the disk: whether they are still those that are written to.

A file that was moved, deleted, replaced or overwritten takes what is committed into it along, and
SQLite notices none of it. So the paths are looked at before every commit and once more before its
waiters are answered. `stat` opens nothing; the database's content is read through the descriptor
that holds its lock, for to close another one would drop SQLite's own locks. The log has none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tirelessd.core.errors import StoreUnavailable

# How many pages, spread over the database, tell its content from any other's.
_SAMPLES: Final = 16
_PAGE_BYTES: Final = 4_096
_LOG_HEADER_BYTES: Final = 32
_FRAME_BYTES: Final = 24 + _PAGE_BYTES
# A frame begins with its place, salts of this log, and a checksum over all of the log up to here.
_FRAME_HEADER_BYTES: Final = 24
_LOG_SALTS_AT: Final = 16
_SALTS_BYTES: Final = 8


class LogState(NamedTuple):
    """How many pages of commits the log holds, and how many of them the database has by now."""

    pages: int
    copied: int


class Found(NamedTuple):
    """What is at a path: which file, how long, and when it was last written."""

    device: int
    inode: int
    size_bytes: int
    written_at_ns: int

    @property
    def identity(self) -> tuple[int, int]:
        """Which file it is."""
        return self.device, self.inode


def find(path: str) -> Found | None:
    """What is at a path; None when there is nothing, or nobody can tell."""
    try:
        status = os.stat(path)  # noqa: PTH116  (before every commit; a `Path` costs as much again)
    except OSError:
        return None
    return Found(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def leads_nowhere(path: Path, end: Path) -> bool:
    """Whether the path is a link, and nothing is at its end."""
    # Not the path's own method, which raises where no file can have such a name.
    return os.path.islink(path) and find(str(end)) is None  # noqa: PTH114


class DatabaseFiles:
    """The files of one database, and how its writer left them.

    What SQLite did itself, here or in another process, is no damage: it tells by the state of the
    log, which `log_state` answers.
    """

    def __init__(self, path: Path, descriptor: int, log_state: Callable[[], LogState]) -> None:
        self._path, self._log_path = str(path), f"{path}-wal"
        self._descriptor = descriptor
        self._log_state = log_state
        self._database: Found | None = None
        self._sample: bytes | None = None
        self._log: Found | None = None
        self._log_descriptor: int | None = None
        self._left = LogState(0, 0)
        self._tail: bytes | None = None
        self._is_log_torn = False
        self.are_sound = True

    def closed(self) -> None:
        """The connection is closed, and may have copied the log and deleted it."""
        self._let_go()
        if self.are_sound:
            self._remember_database()

    def _let_go(self) -> None:
        self._log, self._left, self._tail = None, LogState(0, 0), None
        if self._log_descriptor is not None:
            os.close(self._log_descriptor)
            self._log_descriptor = None

    def _remember_database(self) -> None:
        found = find(self._path)
        if found is not None and (self._database or found).identity == found.identity:
            self._database, self._sample = found, self._take_sample()

    def opened(self) -> None:
        """Take the log that SQLite has opened for ours."""
        self._let_go()
        self._log_descriptor = os.open(self._log_path, os.O_RDONLY | os.O_CLOEXEC)
        self._log = find(self._log_path)
        self.copied()

    def copied(self) -> None:
        """Take the database as it is now: the writer has copied the log into it."""
        self._left = self._log_state()
        self._remember_database()
        self._tail = self._take_tail()

    def committed(self, pages: int) -> None:
        """Raise `StoreUnavailable` if a commit went where nobody will find it."""
        self.are_sound = False
        _, log = self._found()
        self._check_frames(pages)
        self._log = log
        self._left = self._left._replace(pages=pages)
        self._tail = self._take_tail()
        self.are_sound = True

    def check(self) -> None:
        """Raise `StoreUnavailable`, naming the cause, unless the files are as they were left."""
        # Between two connections another process may have copied the log, and nobody could tell.
        is_content_known = self._log is not None or not self.are_sound
        self.are_sound = False
        if self._is_log_torn:
            raise self._log_damage()
        database, log = self._found()
        if database != self._database and is_content_known:
            self._check_database(database)
        if self._log is not None and log != self._log:
            self._check_log(log)
        self.are_sound = True

    def _found(self) -> tuple[Found, Found | None]:
        database, log = find(self._path), find(self._log_path)
        if database is None or (self._database or database).identity != database.identity:
            raise StoreUnavailable(f"{self._path} was moved, replaced or deleted; put it back")
        if self._log is not None and (log is None or log.identity != self._log.identity):
            raise StoreUnavailable(f"{self._log_path} was moved, replaced or deleted; put it back")
        return database, log

    def _check_database(self, database: Found) -> None:
        """Somebody wrote to the database: SQLite in another process, or something else."""
        sample = self._take_sample()
        if sample is None:
            raise StoreUnavailable(f"{self._path} cannot be read")
        if self._sample is not None and sample != self._sample:
            state = self._log_state()
            if not self._has_copied(state):
                raise StoreUnavailable(
                    f"{self._path} was overwritten or cut; put its content back, "
                    "or stop the daemon and restore a backup"
                )
            self._left = state
            self._tail = self._take_tail()
        self._database, self._sample = database, sample

    def _has_copied(self, state: LogState) -> bool:
        """Whether another process has copied the log; when it was done it may have begun anew."""
        return state.copied > self._left.copied or state.pages < self._left.pages

    def _check_log(self, log: Found | None) -> None:
        """Somebody wrote to the log; our last commit must still stand there, or be copied."""
        is_other = self._tail is not None and self._take_tail() != self._tail
        if is_other and self._log_state().pages >= self._left.pages:
            raise self._log_damage()
        self._log = log

    def _check_frames(self, pages: int) -> None:
        """Whoever cut the log while SQLite wrote left a hole before, or within, our frames."""
        if self._is_log_whole(pages):
            return
        # For good: what follows a hole is lost, and a checkpoint would copy the hole.
        self._is_log_torn = True
        raise self._log_damage()

    def _is_log_whole(self, pages: int) -> bool:
        """Whether all frames of the last commit stand in the log, and follow the one before it.

        True when they have been copied since, or cannot be read: that is no reason to fail.
        """
        header = self._read_log(_LOG_SALTS_AT, _SALTS_BYTES)
        if header is None or not pages:
            return True
        # A log begun anew has other salts, and may by now be longer than the former was.
        is_same_log = self._tail is not None and _salts(self._tail) == header
        tail = self._take_tail() if is_same_log else None
        first = self._left.pages + 1 if is_same_log else 1
        frames = [self._frame_header(number) for number in range(first, pages + 1)]
        return (
            len(header) == _SALTS_BYTES
            and tail in {None, self._tail}
            and all(frame is None or _salts(frame) == header for frame in frames)
        )

    def _log_damage(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._log_path} was overwritten or cut; stop the daemon and restore a backup"
        )

    def _take_sample(self) -> bytes | None:
        """What tells the database's content; None when it cannot be read just now."""
        try:
            return self._sampled(os.fstat(self._descriptor).st_size)
        except OSError:
            return None

    def _sampled(self, size_bytes: int) -> bytes:
        digest = hashlib.blake2b(size_bytes.to_bytes(8, "big"), digest_size=16)
        for number in range(_SAMPLES):
            offset = size_bytes // _PAGE_BYTES * number // _SAMPLES * _PAGE_BYTES
            digest.update(os.pread(self._descriptor, _PAGE_BYTES, offset))
        return digest.digest()

    def _take_tail(self) -> bytes | None:
        """The header of the last commit's last frame, which vouches for all frames before it.

        None when there is none, or it cannot be read: after a commit that is no reason to fail.
        """
        return self._frame_header(self._left.pages)

    def _frame_header(self, number: int) -> bytes | None:
        """What stands where a frame begins, from 1; None when it cannot be read."""
        if number <= 0:
            return None
        return self._read_log(_LOG_HEADER_BYTES + (number - 1) * _FRAME_BYTES, _FRAME_HEADER_BYTES)

    def _read_log(self, offset: int, length: int) -> bytes | None:
        """What stands there, less where the log ends before; None when it cannot be read."""
        if self._log_descriptor is None:
            return None
        try:
            return os.pread(self._log_descriptor, length, offset)
        except OSError:
            return None


def _salts(frame_header: bytes) -> bytes:
    """What tells the frames of this log from what an earlier one left in its place."""
    return frame_header[8 : 8 + _SALTS_BYTES]
