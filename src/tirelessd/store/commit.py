"""Group commit: whatever waits is written in one commit, and then everybody is answered.

The committer lives in the event loop's thread and knows nothing of any database. It forms a batch
from everything that waits as soon as the former commit has ended, gives it to the writer, and is
told of its end in the loop again. While one commit is being written, the next batch gathers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final, Generic, TypeVar

from tirelessd.core.alarm import Alarm
from tirelessd.core.clock import Clock
from tirelessd.core.errors import (
    CommitPending,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnstorableValue,
)
from tirelessd.core.events import Emit, StoreOperationFinished

BATCH_ROWS: Final = 2_000
BATCH_BYTES: Final = 16 * 1024 * 1024
# What may gather behind the commit in flight: sixteen callers with a slice of a batch each, which a
# slow disk writes in about the second that they wait; and four commits' worth of bytes.
WAITING_ROWS: Final = 8 * BATCH_ROWS
WAITING_BYTES: Final = 4 * BATCH_BYTES
# A caller waits for the commit before its own and for its own: that much patience, and a quarter
# more, is due to a disk or database that answers, if slowly. One that took longer than the seconds
# below hung.
SLOW_COMMITS: Final = 2.25
SLOW_SECONDS: Final = 2.0

T = TypeVar("T")


class Operation(Generic[T]):
    """One caller's write on its way: waiting, formed into a batch, written, answered.

    The writer sets exactly one of `outcome` and `error`, in its own thread, before it reports the
    batch. Both only count once the batch has been reported.

    `is_patient` operations have callers who keep something for the answer (a slot, a lease) and
    wait for it however long it takes. The others are answered in time, with `CommitPending` at
    worst, and refused when too much waits already, or while nothing can be written at all.
    """

    verb: ClassVar[str]
    is_patient: ClassVar[bool] = True
    rows: int = 1
    size_bytes: int = 0

    def __init__(self) -> None:
        self.waiter: asyncio.Future[T]
        self.outcome: T | None = None
        self.error: Exception | None = None

    @property
    def brings_keys(self) -> bool:
        """Whether it may have to wait for another process that has brought the same key."""
        return False

    def form(self, now: float) -> None:
        """Called in the loop when the commit is formed: the last moment for decisions there."""

    def conclude(self) -> None:
        """Called in the loop when the fate of the commit is known, before any waiter wakes."""

    def answer_for_now(self, why: str) -> None:
        """Wake the waiter before the fate of its write is known; `CommitPending` leads to it."""
        if self.waiter.done():
            return
        waiter, self.waiter = self.waiter, self.waiter.get_loop().create_future()
        # Most callers have no use for the late answer, and a failure that nobody asks for is none.
        self.waiter.add_done_callback(_take_notice)
        waiter.set_exception(CommitPending(why, self.waiter))

    def answer(self) -> None:
        """Wake the waiter, unless it has gone: its write happened, or failed, all the same."""
        if self.waiter.done():
            return
        if self.error is not None:
            self.waiter.set_exception(self.error)
        else:
            self.waiter.set_result(self.outcome)  # type: ignore[arg-type]


class Batch:
    """The operations that share a commit; `now` is the store's time for all of them."""

    def __init__(self, operations: Sequence[Operation[object]], now: float) -> None:
        self.operations = operations
        self.now = now

    @property
    def brings_keys(self) -> bool:
        """Whether any of them may have to wait for another process."""
        return any(operation.brings_keys for operation in self.operations)


class Committer:
    """Forms batches and answers waiters; one commit is in flight at a time.

    `start` hands a batch to the writer and returns at once; the writer reports it by `finish`, in
    the loop's thread. `place` is what operators are told of when it keeps them waiting.

    Whoever is not patient is answered within `patience_seconds` of its call, whatever the disk
    does, or within what two commits took when the last one was that slow: what is in no batch yet
    is refused with kind "timeout", for nothing of it has happened; what is in the batch that hangs
    hears `CommitPending`, and the batch goes on. Until the disk has answered, what comes new is
    refused at once.
    """

    def __init__(
        self,
        start: Callable[[Batch], None],
        now: Callable[[], float],
        clock: Clock,
        emit: Emit,
        patience_seconds: float,
        place: str = "the store's disk",
    ) -> None:
        self._start = start
        self._place = place
        self._no_answer = f"{place} does not answer in time"
        self._now = now
        self._clock = clock
        self._emit = emit
        self._least_patience_seconds = self._patience_seconds = patience_seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Operation[object]] = deque()
        self._waiting_rows = self._waiting_bytes = 0
        self._waiting_since = 0.0
        self._in_flight: Batch | None = None
        self._started_at = 0.0
        self._is_hanging = False
        self._failure: StoreError | None = None
        self._patience: Alarm | None = None
        self._is_forming = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closed = False

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write; its future is answered after the commit, and may be cancelled in vain."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        operation.waiter = self._loop.create_future()
        refusal = None if operation.is_patient else self._refusal(operation)
        if refusal is not None:
            # A turn of the loop later: callers that come again at once must leave it the time to
            # hear from the disk.
            operation.error = refusal
            self._loop.call_soon(operation.answer)
            return operation.waiter
        if not self._waiting:
            self._waiting_since = self._loop.time()
        self._waiting.append(operation)  # type: ignore[arg-type]
        self._waiting_rows += operation.rows
        self._waiting_bytes += operation.size_bytes
        self._idle.clear()
        if self._in_flight is None and not self._is_forming:
            # At the end of this round of the loop, so that all who are awake now share the commit.
            self._is_forming = True
            self._loop.call_soon(self._form)
        return operation.waiter

    def _refusal(self, operation: Operation[T]) -> StoreUnavailable | None:
        """Why not to wait: it could only be refused later, or would take memory without bound."""
        if self._is_hanging:
            return StoreUnavailable(self._no_answer, "timeout")
        if self._failure is not None and (self._in_flight is not None or self._waiting):
            # One commit at a time finds out whether it goes better now.
            return refusal_like(self._failure)
        rows = self._waiting_rows + operation.rows
        size_bytes = self._waiting_bytes + operation.size_bytes
        if self._waiting and (rows > WAITING_ROWS or size_bytes > WAITING_BYTES):
            return StoreUnavailable(f"more waits for {self._place} than it can write", "busy")
        return None

    def finish(self, batch: Batch) -> None:
        """Answer everybody in a batch whose fate is known, and form the next one."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._in_flight = None
        self._is_hanging = False
        self._failure = common_failure(batch)
        duration_seconds = self._clock.monotonic() - self._started_at
        if self._failure is None:
            slow_seconds = SLOW_COMMITS * min(duration_seconds, SLOW_SECONDS)
            self._patience_seconds = max(self._least_patience_seconds, slow_seconds)
        for operation in batch.operations:
            self._conclude(operation)
        self._form()
        for operation in batch.operations:
            operation.answer()
        self._report(batch.operations, duration_seconds)

    def _conclude(self, operation: Operation[object]) -> None:
        try:
            operation.conclude()
        except Exception as error:  # noqa: BLE001  (its own; the others must be answered)
            operation.error = error

    async def close(self) -> None:
        """Take nothing more, and wait until everything handed in has been answered."""
        self._is_closed = True
        await self._idle.wait()

    def _form(self) -> None:
        self._is_forming = False
        if not self._waiting:
            self._idle.set()
            return
        operations = self._take()
        batch = Batch(operations, self._now())
        for operation in operations:
            operation.form(batch.now)
        self._in_flight = batch
        self._started_at = self._clock.monotonic()
        # Those who have waited longest for this commit to begin must not wait as long again.
        waited_seconds = self._loop.time() - self._waiting_since
        self._patience = Alarm(self._patience_seconds - waited_seconds, self._lose_patience)
        self._waiting_since = self._loop.time()
        self._start(batch)

    def _take(self) -> list[Operation[object]]:
        taken: list[Operation[object]] = []
        rows = size_bytes = 0
        while self._waiting:
            first = self._waiting[0]
            rows += first.rows
            size_bytes += first.size_bytes
            if taken and (rows > BATCH_ROWS or size_bytes > BATCH_BYTES):
                break
            taken.append(self._waiting.popleft())
            self._waiting_rows -= first.rows
            self._waiting_bytes -= first.size_bytes
        return taken

    def _lose_patience(self) -> None:
        """Answer those behind a commit that hangs, and in it; look again a while later."""
        is_first_time, self._is_hanging = not self._is_hanging, True
        refused, self._waiting = self._waiting, deque()
        self._waiting_rows = self._waiting_bytes = 0
        for operation in refused:
            operation.error = StoreUnavailable(self._no_answer, "timeout")
            operation.answer()
        if is_first_time and self._in_flight is not None:
            for operation in self._in_flight.operations:
                if not operation.is_patient:
                    operation.answer_for_now(self._no_answer)
        self._report(refused, self._patience_seconds)
        self._patience = Alarm(self._patience_seconds, self._lose_patience)

    def _report(self, operations: Iterable[Operation[object]], seconds: float) -> None:
        kinds: dict[str, str | None] = {}
        for operation in operations:
            kinds[operation.verb] = kind_of(operation.error) or kinds.get(operation.verb)
        for verb, kind in kinds.items():
            self._emit(StoreOperationFinished(verb, seconds, kind))


def common_failure(batch: Batch) -> StoreError | None:
    """Why a commit failed as a whole; None when any of it went well, or when it was the values."""
    failure: StoreError | None = None
    for operation in batch.operations:
        failure = operation.error if isinstance(operation.error, StoreError) else None
        if failure is None or isinstance(failure, UnstorableValue):
            return None
    return failure


def refusal_like(failure: StoreError) -> StoreUnavailable:
    """An error that says the same of a call of which nothing has happened."""
    if isinstance(failure, StoreFull):
        return StoreFull(failure.message)
    return StoreUnavailable(failure.message, failure.kind)


def _take_notice(answered: asyncio.Future[T]) -> None:
    """Have an answer count as seen."""
    if not answered.cancelled():
        answered.exception()


def kind_of(error: BaseException | None) -> str | None:
    """The word that metrics know an error by; None for none."""
    if error is None:
        return None
    return error.kind if isinstance(error, StoreError) else "other"
