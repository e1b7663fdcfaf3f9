"""The writer's thread, and the loop's side of it: batches in, answers out, quiet moments used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import apsw

from tirelessd.core.clock import Clock, SteadyClock
from tirelessd.core.errors import StartError, StoreUnavailable
from tirelessd.core.events import Emit, UnexpectedError
from tirelessd.store.commit import Batch, Committer, Operation
from tirelessd.store.sqlite.connection import in_words, is_there, prepare
from tirelessd.store.sqlite.lock import LockFile
from tirelessd.store.sqlite.writer import Writer

# Callers hear within so long, and a little, whatever the disk does.
PATIENCE_SECONDS: Final = 0.9
# With nothing written for so long, a log that has grown large is cut.
TIDY_SECONDS: Final = 1.0

T = TypeVar("T")


class WriterThread:
    """Hands batches to the one thread that writes, and answers in the loop's thread.

    Not the loop's default executor: name resolution shares that, and a slow disk must not stop it.
    """

    def __init__(
        self, lock: LockFile, clock: Clock, steady: SteadyClock, emit: Emit, busy_seconds: float
    ) -> None:
        self._lock = lock
        self._path = path = lock.database
        self._clock = clock
        self._steady = steady
        self._emit = emit
        self._busy_seconds = busy_seconds
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, "tirelessd-writer")
        self._writer = Writer(path, busy_seconds, clock.monotonic)
        self._committer = Committer(self._start, steady.now, clock, emit, PATIENCE_SECONDS)
        self.identity = ""
        self._tidying: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Make, check and migrate the file, and open it for writing; raises `StartError`."""
        await self._loop.run_in_executor(self._executor, self._open)

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write for the next commit."""
        return self._committer.submit(operation)

    async def close(self) -> None:
        """Write and answer what was handed in, then let go of the file."""
        await self._committer.close()
        if self._tidying is not None:
            self._tidying.cancel()
        await self._loop.run_in_executor(self._executor, self._writer.close)
        self._executor.shutdown(wait=False)

    def _open(self) -> None:
        try:
            if is_there(self._path):
                self._lock.hold()
            else:
                self._lock.check_new()
            prepare(
                self._path,
                self._busy_seconds,
                self._clock.monotonic,
                is_same_boot=self._lock.is_same_boot,
            )
            self._writer.start(self._lock.hold())
            self._go_on()
            self.identity = self._writer.identity()
            self._lock.remember()
        except apsw.Error as error:
            raise StartError(f"{self._path}: {in_words(error)}") from error
        except StoreUnavailable as error:
            raise StartError(f"{self._path}: {error}") from error
        except OSError as error:
            raise StartError(f"{self._path}: {error.strerror}") from error

    def _go_on(self) -> None:
        """Set the store's time before anybody asks for it: the loop waits for this thread."""
        left_at, booted_at = self._writer.last_time()
        if left_at:
            is_same_boot = self._lock.is_same_boot
            self._steady.go_on_from(left_at, booted_at if is_same_boot else None)

    def _start(self, batch: Batch) -> None:
        self._executor.submit(self._see_to, self._write, batch)

    def _write(self, batch: Batch) -> None:
        self._writer.write(batch)
        self._loop.call_soon_threadsafe(self._finish, batch)
        self._writer.checkpoint()  # after the answer: nobody waits for it but the next commit

    def _finish(self, batch: Batch) -> None:
        if self._tidying is not None:
            self._tidying.cancel()
        self._tidying = self._loop.call_later(TIDY_SECONDS, self._tidy)
        self._committer.finish(batch)

    def _tidy(self) -> None:
        self._executor.submit(self._see_to, self._writer.tidy)

    def _see_to(self, work: Callable[..., None], *values: object) -> None:
        """In the thread: an error that nobody foresaw is told of."""
        try:
            work(*values)
        except Exception as error:  # noqa: BLE001  (or the executor keeps it to itself)
            told = UnexpectedError("thread of the store", error)
            self._loop.call_soon_threadsafe(self._emit, told)
