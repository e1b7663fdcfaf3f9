"""A lane: one kind of writes, which share commits on a connection that no other kind waits for.

Whatever waits in a lane is written in one transaction. If one operation's own values make it fail,
every operation is tried in a transaction of its own, so that only the guilty one is refused; if
another process keeps a key that one of them brings, every one with keys is. What failed with its
connection before it could happen is tried once more on another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeVar

import msgspec
from asyncpg import (
    Connection,
    DeadlockDetectedError,
    PostgresError,
    Record,
    SerializationError,
)

from tirelessd.core.clock import Clock
from tirelessd.core.errors import CommitUnknown
from tirelessd.core.events import Emit
from tirelessd.store.commit import Batch, Committer, Operation
from tirelessd.store.postgres.faults import Fault, fault_of, store_error
from tirelessd.store.postgres.mark import Mark, MarkMoved
from tirelessd.store.postgres.settle import undo
from tirelessd.store.postgres.steps import execute
from tirelessd.store.postgres.transaction import (
    BEGIN,
    BEGIN_WITH_KEYS,
    Transaction,
    discard,
    roll_back,
)
from tirelessd.store.postgres.turns import Turns
from tirelessd.store.tokens import random_numbers

# Callers hear within so long, and a little, whatever the database does.
PATIENCE_SECONDS: Final = 0.9
# The server gives up a statement sooner; this is for one that does not answer at all.
TRANSACTION_SECONDS: Final = 3.0
FATE_SECONDS: Final = 1.0
# So long after its begin a commit goes on to find out which key it is that another process keeps:
# with the last try, its callers and those behind them are answered before they lose patience.
APART_SECONDS: Final = 0.5
_FATE_TRIES: Final = 2

Connect = Callable[[], AbstractAsyncContextManager["Connection[Record]"]]
T = TypeVar("T")


class Lane:
    """Commits of one kind, one after another.

    `connect` gives the connection for a transaction. `told` hears why the database was out of
    reach, or None whenever a transaction went well.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        owner: int,
        clock: Clock,
        emit: Emit,
        told: Callable[[Exception | None], None],
    ) -> None:
        self._connect = connect
        self._owner = owner
        self._told = told
        self._mark = Mark(owner, name)
        self._turns = Turns()
        self._doubtful_tokens: list[int] = []
        self._loop = asyncio.get_running_loop()
        # The database tells the time; when a commit is formed it is only guessed which items are
        # due, and a wrong guess costs a hand-off or a slot for the length of the commit.
        self._committer = Committer(
            self._start, clock.wall, clock, emit, PATIENCE_SECONDS, "the database"
        )
        # Held, for the loop itself holds tasks weakly; ended by `close`, which waits for it.
        self._writing: asyncio.Task[None] | None = None

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write for the next commit."""
        return self._committer.submit(operation)

    async def close(self) -> None:
        """Write and answer what was handed in, and take nothing more."""
        await self._committer.close()

    def _start(self, batch: Batch) -> None:
        self._writing = self._loop.create_task(self.write(batch), name="commit")
        self._writing.add_done_callback(partial(self._finish, batch))

    def _finish(self, batch: Batch, writing: asyncio.Task[None]) -> None:
        if writing.cancelled():
            # A handler that cancels every task there is must not leave a daemon without its lanes.
            for operation in batch.operations:
                operation.error = operation.error or CommitUnknown("the commit was cancelled")
        self._committer.finish(batch)

    async def write(self, batch: Batch) -> None:
        """Write a batch and set what each operation came to; raises nothing but cancellation."""
        began_at = self._loop.time()
        failure = await self._try(batch)
        if failure is not None and failure.is_worth_repeating:
            failure = await self._try(batch)
        if failure is None:
            self._told(None)
            return
        if failure.fault is Fault.VALUE and len(batch.operations) > 1:
            for operation in batch.operations:
                await self.write(Batch([operation], batch.now))
            return
        if failure.fault is Fault.BROKEN:
            self._told(failure.error)
        elif failure.fault is Fault.BUSY and len(batch.operations) > 1 and batch.brings_keys:
            await self._write_apart(batch, failure, began_at + APART_SECONDS)
            return
        for operation in batch.operations:
            operation.error = failure.as_store_error()

    async def _write_apart(self, batch: Batch, failure: _Failure, ends_at: float) -> None:
        """Write those without keys together, and the others one by one while there is time."""
        if keyless := [each for each in batch.operations if not each.brings_keys]:
            await self.write(Batch(keyless, batch.now))
        for operation in batch.operations:
            if not operation.brings_keys:
                continue
            if self._loop.time() < ends_at:
                await self.write(Batch([operation], batch.now))
            else:
                operation.error = failure.as_store_error()

    async def _try(self, batch: Batch) -> _Failure | None:
        """One transaction; why it failed."""
        is_connected = False
        try:
            async with self._connect() as connection:
                is_connected = True
                await self._write_once(Transaction(connection, self._owner, self._turns), batch)
        except Exception as error:  # noqa: BLE001  (whatever it is, all who share the commit hear it)
            return _Failure(error, is_connected=is_connected)
        return None

    async def _write_once(self, tx: Transaction, batch: Batch) -> None:
        try:
            await self._write_together(tx, batch)
        except asyncio.CancelledError:
            discard(tx.connection)
            self._give_up_on(tx)
            raise

    async def _write_together(self, tx: Transaction, batch: Batch) -> None:
        connection = tx.connection
        async with asyncio.timeout(TRANSACTION_SECONDS):
            await self._mark.take(connection)
            await connection.execute(BEGIN_WITH_KEYS if batch.brings_keys else BEGIN)
            try:
                if self._doubtful_tokens:
                    await undo(tx, self._doubtful_tokens)
                await execute(tx, batch.operations)
            except PostgresError:
                await roll_back(connection)
                raise
            if not tx.is_writing:
                await connection.execute("COMMIT")
                return
        await self._commit(tx)
        self._doubtful_tokens = []

    async def _commit(self, tx: Transaction) -> None:
        try:
            async with asyncio.timeout(TRANSACTION_SECONDS):
                await self._mark.commit(tx.connection)
        except Exception as error:
            if isinstance(error, MarkMoved) or fault_of(error) is not Fault.BROKEN:
                await roll_back(tx.connection)  # the server has refused it, and said so
                raise
            discard(tx.connection)
            if not await self._has_happened(tx, error):
                raise

    async def _has_happened(self, tx: Transaction, error: Exception) -> bool:
        """Look on another connection; what cannot be found out is said to be unknown."""
        [fence] = random_numbers(1)
        obstacle: Exception = error
        for _ in range(_FATE_TRIES):
            try:
                async with asyncio.timeout(FATE_SECONDS), self._connect() as connection:
                    return await self._mark.has_happened(connection, fence)
            except Exception as another:  # noqa: BLE001  (any of them leaves the fate unknown)
                obstacle = another
        self._give_up_on(tx)
        raise CommitUnknown(
            f"the connection broke in a commit, and its fate is unknown: {obstacle}", "connection"
        ) from error

    def _give_up_on(self, tx: Transaction) -> None:
        """Nobody will learn whether it has happened; the leases that it granted are undone."""
        self._mark.forget()
        self._doubtful_tokens += tx.tokens


class _Failure(msgspec.Struct, frozen=True):
    """Why a transaction failed, and whether it had begun."""

    error: Exception
    is_connected: bool

    @property
    def fault(self) -> Fault:
        return fault_of(self.error)

    @property
    def is_worth_repeating(self) -> bool:
        """Whether nothing of it happened and another connection may do better at once.

        Not after a wait: callers have waited, too.
        """
        if isinstance(self.error, CommitUnknown | TimeoutError) or not self.is_connected:
            return False
        is_victim = isinstance(self.error, DeadlockDetectedError | SerializationError)
        return is_victim or self.fault is Fault.BROKEN

    def as_store_error(self) -> Exception:
        if isinstance(self.error, CommitUnknown):
            return self.error
        return store_error(self.error, self.fault)
