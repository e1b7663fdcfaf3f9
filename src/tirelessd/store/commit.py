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

from tirelessd.core.clock import Clock
from tirelessd.core.errors import StoreError, StoreUnavailable
from tirelessd.core.events import Emit, StoreOperationFinished

BATCH_ROWS: Final = 2_000
BATCH_BYTES: Final = 16 * 1024 * 1024

T = TypeVar("T")


class Operation(Generic[T]):
    """One caller's write on its way: waiting, formed into a batch, written, answered.

    The writer sets exactly one of `outcome` and `error`, in its own thread, before it reports the
    batch. Both only count once the batch has been reported.
    """

    verb: ClassVar[str]
    rows: int = 1
    size_bytes: int = 0

    def __init__(self) -> None:
        self.waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.outcome: T | None = None
        self.error: Exception | None = None

    def form(self, now: float) -> None:
        """Called in the loop when the commit is formed: the last moment for decisions there."""

    def conclude(self) -> None:
        """Called in the loop when the fate of the commit is known, before any waiter wakes."""

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


class Committer:
    """Forms batches and answers waiters; one commit is in flight at a time.

    `start` hands a batch to the writer and returns at once; the writer reports it by `finish`, in
    the loop's thread. What has waited `patience_seconds` for a commit in flight is refused with
    kind "timeout": it is in no batch yet, so nothing of it has happened.
    """

    def __init__(
        self,
        start: Callable[[Batch], None],
        now: Callable[[], float],
        clock: Clock,
        emit: Emit,
        patience_seconds: float,
    ) -> None:
        self._start = start
        self._now = now
        self._clock = clock
        self._emit = emit
        self._patience_seconds = patience_seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Operation[object]] = deque()
        self._in_flight: Batch | None = None
        self._started_at = 0.0
        self._patience: asyncio.TimerHandle | None = None
        self._is_forming = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closed = False

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write; its future is answered after the commit, and may be cancelled in vain."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        self._waiting.append(operation)  # type: ignore[arg-type]
        self._idle.clear()
        if self._in_flight is None and not self._is_forming:
            # At the end of this round of the loop, so that all who are awake now share the commit.
            self._is_forming = True
            self._loop.call_soon(self._form)
        return operation.waiter

    def finish(self, batch: Batch) -> None:
        """Answer everybody in a batch whose fate is known, and form the next one."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._in_flight = None
        duration_seconds = self._clock.monotonic() - self._started_at
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
        self._patience = self._loop.call_later(self._patience_seconds, self._lose_patience)
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
        return taken

    def _lose_patience(self) -> None:
        """Refuse what gathered behind a commit that hangs, and look again a while later."""
        refused, self._waiting = self._waiting, deque()
        for operation in refused:
            operation.error = StoreUnavailable(
                "the store's disk does not answer in time", "timeout"
            )
            operation.answer()
        self._report(refused, self._patience_seconds)
        self._patience = self._loop.call_later(self._patience_seconds, self._lose_patience)

    def _report(self, operations: Iterable[Operation[object]], seconds: float) -> None:
        kinds: dict[str, str | None] = {}
        for operation in operations:
            kinds[operation.verb] = kind_of(operation.error) or kinds.get(operation.verb)
        for verb, kind in kinds.items():
            self._emit(StoreOperationFinished(verb, seconds, kind))


def kind_of(error: BaseException | None) -> str | None:
    """The word that metrics know an error by; None for none."""
    if error is None:
        return None
    return error.kind if isinstance(error, StoreError) else "other"
