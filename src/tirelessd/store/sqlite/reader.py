"""The one connection that reads, in its own thread: no read waits for a commit or delays one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import apsw

from tirelessd.core.clock import Clock
from tirelessd.core.errors import StoreUnavailable
from tirelessd.store.sqlite.connection import open_reader
from tirelessd.store.sqlite.faults import Fault, fault_of, store_error

_DEADLINE_STEPS: Final = 50_000

P = ParamSpec("P")
T = TypeVar("T")


class Reader:
    """Runs reads one after another, each in one snapshot and for a bounded time."""

    def __init__(self, path: Path, clock: Clock, busy_seconds: float, read_seconds: float) -> None:
        self._path = path
        self._clock = clock
        self._busy_seconds = busy_seconds
        self._read_seconds = read_seconds
        self._executor = ThreadPoolExecutor(1, "tirelessd-reader")
        self._db: apsw.Connection | None = None
        self._is_closed = False

    async def run(
        self,
        read: Callable[Concatenate[apsw.Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """The answer of `read`; `StoreUnavailable` when the file or the time does not allow it.

        A caller that is cancelled leaves the read running to its end.
        """
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        job = partial(self._read, lambda db: read(db, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._executor, job)

    async def close(self) -> None:
        """Finish the reads that wait, then let go of the file."""
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._executor, self._discard)
        self._executor.shutdown(wait=False)

    def _read(self, read: Callable[[apsw.Connection], T]) -> T:
        try:
            db = self._connection()
            db.execute("BEGIN")  # everything until its end sees one moment
            try:
                return read(db)
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
        except apsw.Error as error:
            fault = fault_of(error)
            if fault is Fault.BROKEN:
                self._discard()
            raise store_error(error, fault) from error
        except OSError as error:
            raise StoreUnavailable(f"{error.filename}: {error.strerror}") from error

    def _connection(self) -> apsw.Connection:
        if self._db is None:
            self._db = open_reader(self._path, self._busy_seconds)
        ends_at = self._clock.monotonic() + self._read_seconds
        self._db.set_progress_handler(lambda: self._clock.monotonic() > ends_at, _DEADLINE_STEPS)
        return self._db

    def _discard(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(apsw.Error):  # a broken disk may refuse even that
                db.close(force=True)
