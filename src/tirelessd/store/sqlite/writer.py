"""The one connection that writes: commits, checkpoints, and healing after faults.

A batch is one transaction. If one operation's own values make it fail, every operation is tried in
a transaction of its own, so that only the guilty one is refused. After an I/O error the connection
is closed and made anew before anything else is written. If it was the COMMIT that failed, the new
connection tells whether it happened: every commit leaves a mark of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

import apsw

from tirelessd.core.errors import CommitUnknown, StartError, StoreUnavailable
from tirelessd.store.commit import Batch
from tirelessd.store.sqlite.connection import (
    LOG_LIMIT_PAGES,
    check_tables,
    open_writer,
    pragma,
    rows,
)
from tirelessd.store.sqlite.faults import Fault, fault_of, store_error
from tirelessd.store.sqlite.files import DatabaseFiles, LogState
from tirelessd.store.sqlite.settle import undo
from tirelessd.store.sqlite.steps import execute
from tirelessd.store.sqlite.transaction import Transaction
from tirelessd.store.tokens import random_numbers

# Pages in the log that are worth a checkpoint; it takes some milliseconds between two commits.
CHECKPOINT_PAGES: Final = 1_000
# What a commit waits for a foreign lock that the one before it found, too.
LOCKED_OUT_SECONDS: Final = 0.02
SLOW_FLUSH_SECONDS: Final = 0.05
SLOW_CHECKPOINT_PAGES: Final = 8_000
# Never the number of a row that has been purged: a list that stopped there goes on after it.
FRESH_ROW: Final = """
SELECT max(coalesce((SELECT max(row) FROM items), 0), (SELECT last_row FROM commits)) + 1
"""
LAST_TIME: Final = "SELECT left_at, booted_at FROM commits"
IDENTITY: Final = "SELECT identity FROM commits"
_PLACE_FOR_MARK: Final = """
INSERT INTO commits (mark) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM commits)
"""


class Writer:
    """Executes batches; all of its methods run in the writer's own thread."""

    def __init__(self, path: Path, busy_seconds: float, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._flush_seconds = 0.0
        self._is_locked_out = False
        self._busy_seconds = busy_seconds
        [self._owner] = random_numbers(1)
        self._db: apsw.Connection | None = None
        self._files: DatabaseFiles | None = None
        self._fresh_rows: Iterator[int] = count(1)
        self._system_errno = 0
        self._doubtful_tokens: list[int] = []
        self._log_pages = 0
        self._checkpointed_pages = 0

    def start(self, descriptor: int) -> None:
        """Open the connection for the first time, to the file that a descriptor holds locked."""
        self._files = DatabaseFiles(self._path, descriptor, self._log_state)
        self.open()

    def last_time(self) -> tuple[float, float]:
        """The store's time at its last commit and at the system's boot; 0 for never."""
        [(left_at, booted_at)] = rows(self._sound_connection(), LAST_TIME)
        return left_at, booted_at

    def identity(self) -> str:
        """What tells this database from all others."""
        [(identity,)] = rows(self._sound_connection(), IDENTITY)
        return str(identity)

    def open(self) -> apsw.Connection:
        """Open the connection; raises `apsw.Error`, `StartError` or `StoreUnavailable`."""
        assert self._files is not None
        self._files.check()
        self._db = db = open_writer(self._path, self._busy_seconds)
        self._is_locked_out = False
        try:
            check_tables(db)
            db.execute(_PLACE_FOR_MARK)
            self._fresh_rows = count(db.execute(FRESH_ROW).get)
            self._files.opened()
        except OSError as error:
            self._discard()
            raise StoreUnavailable(f"{error.filename}: {error.strerror}") from error
        except (apsw.Error, StoreUnavailable):
            self._discard()
            raise
        self._log_pages = self._checkpointed_pages = 0
        db.set_wal_hook(self._count_log_pages)
        return db

    def write(self, batch: Batch) -> None:
        """Write a batch and set what each operation came to; never raises."""
        try:
            self._write_together(batch)
            self._be_patient(is_locked_out=False)
        except Exception as failure:  # noqa: BLE001  (whatever it is, all who share the commit hear it)
            error = self._explain(failure)
            fault = fault_of(error, self._system_errno)
            self._be_patient(is_locked_out=fault is Fault.BUSY)
            if fault is Fault.VALUE and len(batch.operations) > 1:
                for operation in batch.operations:
                    self.write(Batch([operation], batch.now))
            else:
                for operation in batch.operations:
                    operation.error = store_error(error, fault)

    def _be_patient(self, *, is_locked_out: bool) -> None:
        """Wait for a foreign lock once: whoever comes while it stays is refused at once."""
        if self._db is not None and is_locked_out is not self._is_locked_out:
            self._is_locked_out = is_locked_out
            seconds = LOCKED_OUT_SECONDS if is_locked_out else self._busy_seconds
            self._db.set_busy_timeout(int(seconds * 1000))

    def _explain(self, error: Exception) -> Exception:
        """The cause of an error: a statement that makes no sense may lack its table."""
        if isinstance(error, apsw.SQLError) and self._db is not None:
            try:
                check_tables(self._db)
            except (apsw.Error, StoreUnavailable) as cause:
                self._discard()  # so that nothing is written before everything is there again
                return cause
        return error

    def checkpoint(self) -> None:
        """Copy the log into the database if it has grown since the last time; never raises.

        It flushes twice, and so does the commit after it: where that is slow it is done rarely.
        """
        is_slow = self._flush_seconds > SLOW_FLUSH_SECONDS
        pages = SLOW_CHECKPOINT_PAGES if is_slow else CHECKPOINT_PAGES
        if self._log_pages >= self._checkpointed_pages + pages:
            self._checkpoint("PASSIVE")

    def tidy(self) -> None:
        """For a quiet moment: if a long reader made the log grow, cut it. Never raises."""
        if self._log_pages > LOG_LIMIT_PAGES:
            self._checkpoint("TRUNCATE")
        elif self._log_pages >= self._checkpointed_pages + CHECKPOINT_PAGES:
            self._checkpoint("PASSIVE")

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
                tx.leave_mark(batch.now - self._monotonic())
        except Exception as error:
            self._abandon(db, error)
            raise
        self._commit(tx)
        if is_writing:
            self._check_places(tx)
            self._doubtful_tokens = []

    def _commit(self, tx: Transaction) -> None:
        began_at = self._monotonic()
        try:
            tx.db.execute("COMMIT")
            self._flush_seconds = self._monotonic() - began_at
        except apsw.Error as error:
            # On a sound connection the frame that makes a commit valid was never written.
            if self._abandon(tx.db, error) is not Fault.BROKEN:
                raise
            if not self._has_happened(tx, error):
                raise

    def _has_happened(self, tx: Transaction, error: apsw.Error) -> bool:
        """Look on a new connection; what cannot be found out is said to be unknown."""
        assert self._files is not None
        try:
            is_kept = keeps(self.open(), tx.mark)
            self._files.copied()
        except (apsw.Error, StartError, StoreUnavailable) as obstacle:
            self._discard()
            self._doubtful_tokens += tx.tokens
            raise CommitUnknown(
                f"the disk failed in a commit, and its fate is unknown: {obstacle}"
            ) from error
        return is_kept

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
            assert self._files is not None
            with suppress(apsw.Error):  # a broken disk refuses again
                # Closing copies the log into the database, unless that is no longer ours.
                db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(not self._files.are_sound))
                db.close(force=True)
            self._files.closed()

    def _log_state(self) -> LogState:
        if self._db is None:
            return LogState(0, 0)
        return LogState(*self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP))

    def _sound_connection(self) -> apsw.Connection:
        self._system_errno = 0
        if self._db is None:
            return self.open()
        assert self._files is not None
        self._files.check()
        return self._db

    def _check_places(self, tx: Transaction) -> None:
        """Nobody is told of a commit that went into a file which no next start would find."""
        assert self._files is not None
        try:
            self._files.committed(self._log_pages)
        except Exception as obstacle:  # noqa: BLE001  (whatever it is: never write this again)
            # Back in its place it will count after all.
            self._doubtful_tokens += tx.tokens
            raise CommitUnknown(f"a commit may have gone astray: {obstacle}") from None

    def _checkpoint(self, mode: str) -> None:
        if self._db is None or self._files is None:
            return
        try:
            self._files.check()
        except StoreUnavailable:
            return  # whoever writes next is told
        try:
            is_busy, _, _ = pragma(self._db, f"wal_checkpoint({mode})")
        except apsw.Error as error:
            if self._abandon(self._db, error) is not Fault.BROKEN:
                self._files.copied()  # a part of it, for want of room
            return
        self._files.copied()
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
