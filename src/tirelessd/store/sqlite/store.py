"""The embedded store: one SQLite file, written by one thread and read by another."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Concatenate, Final, Never, ParamSpec, TypeVar

import apsw
import msgspec

from tirelessd.core.clock import Clock, SteadyClock
from tirelessd.core.decision import Settlement
from tirelessd.core.errors import StartError, StoreError, StoreUnavailable
from tirelessd.core.events import ClockDiffers, Emit, StoreOperationFinished
from tirelessd.core.item import (
    Body,
    Claim,
    ItemRecord,
    Lease,
    NewItem,
    Page,
    Selection,
    ShownState,
    State,
)
from tirelessd.core.queue import QueueConfig
from tirelessd.core.trace import TraceContext
from tirelessd.store.base import (
    Cancelled,
    Changed,
    Claimed,
    Conflicting,
    Enqueued,
    Expired,
    HandOff,
    Pause,
    Replayed,
    Settled,
    Snapshot,
    Store,
    nothing_to_hear,
)
from tirelessd.store.commit import Operation, kind_of
from tirelessd.store.cursors import Listed, ListedDead, cursor, encode
from tirelessd.store.operations import (
    Cancel,
    ChangeDead,
    ChangePause,
    ClaimDue,
    DeleteDead,
    Enqueue,
    Expire,
    Probe,
    Reclaim,
    Redrive,
    Release,
    Renew,
    Settle,
    answers_by_keys,
)
from tirelessd.store.sqlite import reads
from tirelessd.store.sqlite.accept import find_keys
from tirelessd.store.sqlite.files import leads_nowhere
from tirelessd.store.sqlite.lock import LockFile
from tirelessd.store.sqlite.old import find_old
from tirelessd.store.sqlite.reader import Reader
from tirelessd.store.sqlite.snapshot import snapshot
from tirelessd.store.sqlite.thread import WriterThread
from tirelessd.store.sqlite.upkeep import Purge

# What a caller waits at most for somebody else's write lock.
BUSY_SECONDS: Final = 0.4
# The longest a single read may take; a count of a million items takes a fraction of a second.
READ_SECONDS: Final = 5.0
# Rows that a purge deletes in one commit, so that others wait only a few milliseconds for it.
PURGE_ROWS: Final = 500

# A difference to the host's clock that is worth a line.
CLOCK_TOLERANCE_SECONDS: Final = 10.0

P = ParamSpec("P")
T = TypeVar("T")


def _ignore(_event: object) -> None:
    """For a store that nobody observes."""


class SqliteStore(Store):
    """Items in one SQLite file, for one process at a time.

    `path` is the file; beside it stand its log and the lock file that keeps other processes out.
    Leases do not expire while their process lives; whatever another process left leased can be
    reclaimed at once. `emit` gets one `StoreOperationFinished` per verb and commit, or per read.
    """

    backend = "sqlite"
    leases_expire = False

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        emit: Emit = _ignore,
        busy_seconds: float = BUSY_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.label = ""
        self._given_path = path
        self._path = Path(os.path.realpath(path))  # which has an answer to a circle of links
        self._clock = clock
        self._time = SteadyClock(clock)
        self._emit = emit
        self._busy_seconds = busy_seconds
        self._lock = LockFile(self._path)
        self._reader = Reader(self._path, clock, busy_seconds, read_seconds)
        self._writer: WriterThread | None = None

    async def open(self) -> None:
        """Take the lock, then make, check and migrate the file; raises `StartError`."""
        if leads_nowhere(self._given_path, self._path):
            raise StartError(f"{self._given_path} leads to {self._path}, and nothing is there")
        self._lock.acquire()
        self._time = SteadyClock(self._clock)
        self._writer = WriterThread(
            self._lock, self._clock, self._time, self._emit, self._busy_seconds
        )
        try:
            await self._writer.open()
            self.label = f"{self.backend}-{self._writer.identity}"
        except Exception:
            # Not when cancelled: then the disk may hang, and how long to wait for it is for whoever
            # calls `close`.
            await self.close()
            raise
        ahead_seconds = self._time.ahead_seconds()
        if abs(ahead_seconds) > CLOCK_TOLERANCE_SECONDS:
            self._emit(ClockDiffers(ahead_seconds))

    async def close(self) -> None:
        """Finish what was handed in, then let go of the file and the lock; idempotent."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await self._reader.close()
            await writer.close()
            self._lock.release()

    def announce(self, queue: str) -> None:
        """Nobody else shares the file."""

    async def listen(self, heard: Callable[[str], None]) -> Never:
        """Nobody else shares the file."""
        await nothing_to_hear()

    async def enqueue(
        self, items: Sequence[NewItem], hand_off: HandOff | None = None
    ) -> Sequence[Enqueued]:
        """Accept items; what is handed off was leased in the same commit."""
        return await self._write(Enqueue(items, hand_off)) if items else ()

    async def find_keys(self, items: Sequence[NewItem]) -> Sequence[Replayed | Conflicting | None]:
        """Look keys up; an expired one is not known."""
        known = await self._read("find_keys", find_keys, items, self._time.now())
        return answers_by_keys(known, items)

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, recovered: int = 0
    ) -> Claimed:
        """Lease due items; `lease_seconds` does not matter here."""
        return await self._write(ClaimDue(queue, limit, recovered))

    async def renew(self, leases: Sequence[Lease], lease_seconds: float) -> Sequence[bool]:
        """Tell which leases hold; a lease lasts as long as its process."""
        return await self._write(Renew(leases)) if leases else ()

    async def settle(
        self, settlements: Sequence[Settlement], lease_seconds: float = 30.0
    ) -> Sequence[Settled]:
        """Write decisions, and claim for the slots that they free."""
        return await self._write(Settle(settlements)) if settlements else ()

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool]:
        """Hand unfinished items back."""
        return await self._write(Release(leases)) if leases else ()

    async def reclaim(
        self,
        limit: int,
        lease_seconds: float,
        forgotten: Sequence[Lease] = (),
        *,
        seen_seconds: float = 0.0,
    ) -> Sequence[Claim]:
        """Take over what another start of the process left leased, however recently."""
        return await self._write(Reclaim(limit, forgotten))

    async def leases(self) -> Sequence[Lease]:
        """Every lease there is."""
        return await self._read("leases", reads.leases)

    async def expire(self, limit: int) -> Sequence[Expired]:
        """End overdue items, the longest overdue first."""
        return await self._write(Expire(limit))

    async def get(self, item_id: str) -> ItemRecord | None:
        """The item with its history."""
        return await self._read("get", reads.get, self._time.now(), item_id)

    async def payload(self, item_id: str) -> Body | None:
        """The payload as it came."""
        return await self._read("payload", reads.payload, item_id)

    async def result(self, item_id: str) -> Body | None:
        """What the handler answered."""
        return await self._read("result", reads.result, item_id)

    async def list_items(
        self, queue: str, state: State | ShownState | None, after: str | None, limit: int
    ) -> Page:
        """A page of a queue: of a rare state at once, else in stretches that hold up no read."""
        start = cursor(after, Listed)
        if state is not None:
            now = self._time.now()
            few = await self._read("list", reads.list_few, now, queue, state, start, limit)
            if few is not None:
                return few
        following: Listed | None = start
        found: list[ItemRecord] = []
        while following is not None and len(found) < limit:
            records, following = await self._read(
                "list",
                reads.list_items,
                self._time.now(),
                queue,
                state,
                following,
                limit - len(found),
            )
            found += records
        return Page(found, encode(following) if following is not None else None)

    async def list_dead(self, selection: Selection, after: str | None, limit: int) -> Page:
        """A page of dead letters."""
        start = cursor(after, ListedDead)
        return await self._read("list", reads.list_dead, self._time.now(), selection, start, limit)

    async def redrive(
        self,
        selection: Selection,
        limit: int,
        *,
        dry_run: bool = False,
        trace: TraceContext | None = None,
    ) -> Changed:
        """Put dead letters back in the order they died; `remaining` is of just before."""
        change = Redrive(selection, limit, trace)
        return await self._change_dead(change, dry_run=dry_run)

    async def delete_dead(
        self, selection: Selection, limit: int, *, dry_run: bool = False
    ) -> Changed:
        """Delete dead letters in the order they died; `remaining` is of just before."""
        return await self._change_dead(DeleteDead(selection, limit), dry_run=dry_run)

    async def cancel(self, item_id: str) -> Cancelled:
        """End a queued item."""
        return await self._write(Cancel(item_id))

    async def purge(self, queues: Sequence[QueueConfig], limit: int) -> Mapping[str, int]:
        """Delete old items and at most as many old keys, in commits of few rows.

        What is old is found off the writer. Keys count under "" too. A failure after the first
        commit ends the call early, with the counts so far.
        """
        counts: Counter[str] = Counter()
        for rows in (min(PURGE_ROWS, limit - start) for start in range(0, limit, PURGE_ROWS)):
            try:
                old = await self._read("find_old", find_old, self._time.now(), queues, rows)
                purged = await self._write(Purge(old, rows))
            except StoreError:
                if counts:
                    break
                raise
            counts.update(purged)
            if sum(purged.values()) < rows:
                break
        return counts

    async def pause(self, queue: str, expires_in_seconds: float | None) -> None:
        """Stop claims and hand-offs of a queue."""
        await self._write(ChangePause(queue, is_paused=True, seconds=expires_in_seconds))

    async def resume(self, queue: str) -> None:
        """End a pause."""
        await self._write(ChangePause(queue, is_paused=False))

    async def pauses(self) -> Sequence[Pause]:
        """The pauses in force."""
        return await self._read("pauses", reads.pauses, self._time.now())

    async def snapshot(self, queues: Sequence[str]) -> Snapshot:
        """Counts and ages, in one snapshot of the file."""
        taken = await self._read("snapshot", snapshot, self._time.now(), self._path, queues)
        return msgspec.structs.replace(taken, ahead_seconds=self._time.ahead_seconds())

    async def probe(self) -> None:
        """Commit a mark and nothing else."""
        await self._write(Probe())

    def _write(self, operation: Operation[T]) -> asyncio.Future[T]:
        if self._writer is None:
            raise StoreUnavailable("the store is closed")
        return self._writer.submit(operation)

    async def _change_dead(self, change: ChangeDead, *, dry_run: bool) -> Changed:
        # Counted before: a count that failed afterwards would deny a change that has happened.
        found = await self._read("list", reads.count_dead, change.selection, change.limit)
        if dry_run:
            return found
        counts = await self._write(change)
        matching = found.count + found.remaining
        return Changed(counts, max(matching - sum(counts.values()), 0))

    async def _read(
        self,
        verb: str,
        read: Callable[Concatenate[apsw.Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        started_at = self._clock.monotonic()
        failure: Exception | None = None
        try:
            return await self._reader.run(read, *args, **kwargs)
        except Exception as error:
            failure = error
            raise
        finally:
            duration = self._clock.monotonic() - started_at
            self._emit(StoreOperationFinished(verb, duration, kind_of(failure)))
