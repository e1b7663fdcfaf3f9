"""The one connection that writes: commits, checkpoints, and healing after faults.

A batch is one transaction. If one operation's own values make it fail, every operation is tried in
a transaction of its own, so that only the guilty one is refused. After an I/O error the connection
is closed and made anew before anything else is written. If it was the COMMIT that failed, the new
connection tells whether it happened: every commit leaves a mark of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

import apsw

from tirelessd.core.clock import Clock
from tirelessd.core.errors import CommitUnknown, StartError, StoreUnavailable
from tirelessd.store.commit import Batch
from tirelessd.store.sqlite.connection import LOG_LIMIT_PAGES, open_writer, pragma
from tirelessd.store.sqlite.faults import Fault, fault_of, store_error
from tirelessd.store.sqlite.settle import undo
from tirelessd.store.sqlite.steps import execute
from tirelessd.store.sqlite.transaction import Transaction, random_numbers

# Pages in the log that are worth a checkpoint; it takes some milliseconds between two commits.
CHECKPOINT_PAGES: Final = 1_000
# How often a look at the path tells whether the file is still there.
IDENTITY_SECONDS: Final = 1.0

Identity = tuple[int, int]


class Writer:
    """Executes batches; all of its methods run in the writer's own thread."""

    def __init__(self, path: Path, clock: Clock, busy_seconds: float) -> None:
        self._path = path
        self._clock = clock
        self._busy_seconds = busy_seconds
        [self._owner] = random_numbers(1)
        self._db: apsw.Connection | None = None
        self._log_path = path.with_name(path.name + "-wal")
        self._file: Identity | None = None
        self._log: Identity | None = None
        self._checked_at = 0.0
        self._fresh_rows: Iterator[int] = count(1)
        self._system_errno = 0
        self._doubtful_tokens: list[int] = []
        self._log_pages = 0
        self._checkpointed_pages = 0

    def open(self) -> apsw.Connection:
        """Open the connection; raises `apsw.Error`, `StartError` or `StoreUnavailable`."""
        self._file = self._file or identity(self._path)
        self._log = None
        self._check_files()
        self._db = db = open_writer(self._path, self._busy_seconds)
        try:
            self._fresh_rows = count(db.execute("SELECT coalesce(max(row), 0) + 1 FROM items").get)
        except apsw.Error:
            self._discard()
            raise
        self._log = identity(self._log_path)
        self._log_pages = self._checkpointed_pages = 0
        db.set_wal_hook(self._count_log_pages)
        return db

    def write(self, batch: Batch) -> None:
        """Write a batch and set what each operation came to; never raises."""
        try:
            self._write_together(batch)
        except Exception as error:  # noqa: BLE001  (whatever it is, all who share the commit hear it)
            fault = fault_of(error, self._system_errno)
            if fault is Fault.VALUE and len(batch.operations) > 1:
                for operation in batch.operations:
                    self.write(Batch([operation], batch.now))
            else:
                for operation in batch.operations:
                    operation.error = store_error(error, fault)

    def checkpoint(self) -> None:
        """Copy the log into the database if it has grown since the last time; never raises."""
        if self._log_pages >= self._checkpointed_pages + CHECKPOINT_PAGES:
            self._checkpoint("PASSIVE")

    def tidy(self) -> None:
        """For a quiet moment: if a long reader made the log grow, cut it. Never raises."""
        if self._log_pages > LOG_LIMIT_PAGES:
            self._checkpoint("TRUNCATE")

    def close(self) -> None:
        """Let go of the file; SQLite checkpoints as its last connection closes."""
        self._discard()

    def _write_together(self, batch: Batch) -> None:
        db = self._sound_connection()
        tx = Transaction(db, batch.now, self._owner, self._fresh_rows)
        try:
            db.execute("BEGIN IMMEDIATE")
            before = db.total_changes()
            if self._doubtful_tokens:
                undo(tx, self._doubtful_tokens)
            execute(tx, batch.operations)
            is_writing = tx.must_write or db.total_changes() > before
            if is_writing:
                db.execute("UPDATE commits SET mark = ?", (tx.mark,))
        except Exception as error:
            self._abandon(db, error)
            raise
        self._commit(tx)
        if is_writing:
            self._doubtful_tokens = []

    def _commit(self, tx: Transaction) -> None:
        try:
            tx.db.execute("COMMIT")
        except apsw.Error as error:
            # On a sound connection the frame that makes a commit valid was never written.
            if self._abandon(tx.db, error) is not Fault.BROKEN:
                raise
            if not self._has_happened(tx, error):
                raise

    def _has_happened(self, tx: Transaction, error: apsw.Error) -> bool:
        """Look on a new connection; what cannot be found out is said to be unknown."""
        try:
            return keeps(self.open(), tx.mark)
        except (apsw.Error, StartError, StoreUnavailable) as obstacle:
            self._discard()
            self._doubtful_tokens += tx.tokens
            raise CommitUnknown(
                f"the disk failed in a commit, and its fate is unknown: {obstacle}"
            ) from error

    def _abandon(self, db: apsw.Connection, error: Exception) -> Fault:
        """Undo the transaction, and give up a connection that is broken."""
        self._system_errno = db.system_errno
        fault = fault_of(error, self._system_errno)
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except apsw.Error:
            fault = Fault.BROKEN
        if fault is Fault.BROKEN:
            self._discard()
        return fault

    def _discard(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(apsw.Error):  # closing checkpoints, which a broken disk refuses again
                db.close(force=True)

    def _sound_connection(self) -> apsw.Connection:
        self._system_errno = 0
        if self._clock.monotonic() >= self._checked_at + IDENTITY_SECONDS:
            self._check_files()
        return self._db or self.open()

    def _check_files(self) -> None:
        """Refuse to write to files that nobody will find again. `stat` opens nothing."""
        is_there = identity(self._path) == self._file is not None
        if not is_there or (self._log is not None and identity(self._log_path) != self._log):
            raise StoreUnavailable(
                f"{self._path} or its log was moved, replaced or deleted; put it back"
            )
        self._checked_at = self._clock.monotonic()

    def _checkpoint(self, mode: str) -> None:
        if self._db is None:
            return
        try:
            is_busy, _, _ = pragma(self._db, f"wal_checkpoint({mode})")
        except apsw.Error as error:
            self._abandon(self._db, error)
            return
        self._checkpointed_pages = self._log_pages
        if mode == "TRUNCATE" and not is_busy:
            self._log_pages = self._checkpointed_pages = 0

    def _count_log_pages(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._checkpointed_pages = min(self._checkpointed_pages, pages)
        self._log_pages = pages
        return apsw.SQLITE_OK


def keeps(db: apsw.Connection, mark: int) -> bool:
    """Whether the database has the commit with this mark, now and after any crash.

    A failed fsync leaves frames in the log that a recovery would bring to life. Starting the log
    over removes them, or, if they count already, writes their pages to the database anew.
    """
    is_busy, _, _ = pragma(db, "wal_checkpoint(TRUNCATE)")
    if is_busy:
        raise StoreUnavailable("a reader holds on to the log")
    return bool(db.execute("SELECT mark FROM commits").get == mark)


def identity(path: Path) -> Identity | None:
    """Which file is at a path; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
