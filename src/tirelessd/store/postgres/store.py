"""The shared store: items in one PostgreSQL database, for any number of processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Concatenate, Final, Never, ParamSpec, TypeVar

from asyncpg import Connection, Record

from tirelessd.core.clock import Clock
from tirelessd.core.decision import Settlement
from tirelessd.core.errors import StoreError, StoreUnavailable
from tirelessd.core.events import Emit, StoreOperationFinished
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
    Connections,
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
from tirelessd.store.commit import kind_of
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
from tirelessd.store.postgres import lists, reads
from tirelessd.store.postgres.accept import find_keys
from tirelessd.store.postgres.faults import fault_of, store_error
from tirelessd.store.postgres.hints import Hints
from tirelessd.store.postgres.lane import Lane
from tirelessd.store.postgres.outage import Outage
from tirelessd.store.postgres.overdue import Overdue
from tirelessd.store.postgres.pools import Borrowed, Pools
from tirelessd.store.postgres.reading import read_from
from tirelessd.store.postgres.snapshot import Keep, look
from tirelessd.store.postgres.upkeep import Purge
from tirelessd.store.reuse import CHEAP_SECONDS
from tirelessd.store.tokens import random_numbers

# How far apart looks may be that find nothing while hints are heard.
LISTENING_POLL_SECONDS: Final = 5.0
# Rows that a purge deletes in one commit, so that others wait only a few milliseconds for it.
PURGE_ROWS: Final = 500
# How many expired leases are watched at once: what a process with very many slots can leave.
OVERDUE_ROWS: Final = 5_000
CLOSED: Final = "the store is closed"

P = ParamSpec("P")
T = TypeVar("T")


def _ignore(_event: object) -> None:
    """For a store that nobody observes."""


class PostgresStore(Store):
    """Items in a database that any number of processes share.

    Leases end by the database's clock. This start of the process is the owner of those it is
    granted, under a random number; it never reclaims them, nor anybody's for one lease after the
    database was out of reach, so that holders renew first. `emit` gets one
    `StoreOperationFinished` per verb and commit, or per read.
    """

    backend = "postgresql"
    leases_expire = True
    # An item that another process accepted, and has no slot for, waits so long for a free one here.
    poll_seconds = 1.0

    def __init__(self, pools: Pools, *, clock: Clock, emit: Emit = _ignore) -> None:
        self.label = ""
        self._why_closed = CLOSED
        self._pools = pools
        self._clock = clock
        self._emit = emit
        [self._owner] = random_numbers(1)
        self._outage = Outage(clock)
        self._overdue = Overdue(clock)
        self._lanes: _Lanes | None = None
        self._hints: Hints | None = None

    async def open(self) -> None:
        """Reach the database, checked and migrated; raises `StartError` or `StoreUnavailable`."""
        try:
            await self._pools.open()
            self._lanes = _Lanes(self._make_lane)
            self.label = f"{self.backend}-{await self._read('identity', reads.identity)}"
            if self._pools.carry_hints:
                self._hints = Hints(self._pools.hints, self._clock, self._emit)
            self._why_closed = CLOSED
        except Exception as error:
            # Whoever asks before the next try hears the same.
            self._why_closed = str(error)
            await self.close()
            raise

    def _make_lane(self, name: str, connect: Callable[[Pools], Borrowed]) -> Lane:
        return Lane(
            name,
            lambda: connect(self._pools),
            self._owner,
            self._clock,
            self._emit,
            self._outage.told,
        )

    async def close(self) -> None:
        """Finish what was handed in, then let go of every connection; idempotent."""
        lanes, self._lanes = self._lanes, None
        if lanes is not None:
            await lanes.close()
        self._hints = None
        await self._pools.close()

    @property
    def longest_poll_seconds(self) -> float:
        """Longer while hints are heard, which tell of nearly all that others store."""
        is_listening = self._hints is not None and self._hints.is_listening
        return LISTENING_POLL_SECONDS if is_listening else self.poll_seconds

    def announce(self, queue: str) -> None:
        """Tell the others, if there is a way to."""
        if self._hints is not None:
            self._hints.tell(queue)

    async def listen(self, heard: Callable[[str], None]) -> Never:
        """Tell and hear hints, if there is a way for them."""
        if self._hints is not None:
            await self._hints.listen(heard)
        await nothing_to_hear()

    async def enqueue(
        self, items: Sequence[NewItem], hand_off: HandOff | None = None
    ) -> Sequence[Enqueued]:
        """Accept items; what is handed off was leased in the same commit, to this process."""
        return await self._open_lanes().intake.submit(Enqueue(items, hand_off)) if items else ()

    async def find_keys(self, items: Sequence[NewItem]) -> Sequence[Replayed | Conflicting | None]:
        """Look keys up; an expired one is not known."""
        return answers_by_keys(await self._read("find_keys", find_keys, items), items)

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, recovered: int = 0
    ) -> Claimed:
        """Lease due items; one that another process is just claiming is passed over."""
        slots = self._open_lanes().slots
        return await slots.submit(ClaimDue(queue, limit, recovered, lease_seconds))

    async def renew(self, leases: Sequence[Lease], lease_seconds: float) -> Sequence[bool]:
        """Have leases last so long from now."""
        if not leases:
            return ()
        return await self._open_lanes().slots.submit(Renew(leases, lease_seconds))

    async def settle(
        self, settlements: Sequence[Settlement], lease_seconds: float = 30.0
    ) -> Sequence[Settled]:
        """Write decisions, and claim for the slots that they free."""
        if not settlements:
            return ()
        return await self._open_lanes().slots.submit(Settle(settlements, lease_seconds))

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool]:
        """Hand unfinished items back."""
        return await self._open_lanes().slots.submit(Release(leases)) if leases else ()

    async def reclaim(
        self,
        limit: int,
        lease_seconds: float,
        forgotten: Sequence[Lease] = (),
        *,
        seen_seconds: float = 0.0,
    ) -> Sequence[Claim]:
        """Take over expired leases of others, unless their holders could not renew them."""
        tokens = await self._read("leases", reads.overdue, self._owner, OVERDUE_ROWS)
        expired = self._overdue.see(tokens, seen_seconds)[:limit]
        if self._outage.is_recent(lease_seconds):
            expired = ()
        if not expired and not forgotten:
            return ()
        return await self._open_lanes().slots.submit(
            Reclaim(limit, forgotten, lease_seconds, expired)
        )

    async def leases(self) -> Sequence[Lease]:
        """The leases of this process: nobody else reclaims them while it renews them."""
        return await self._read("leases", reads.leases, self._owner)

    async def expire(self, limit: int) -> Sequence[Expired]:
        """End overdue items, the longest overdue first."""
        return await self._open_lanes().upkeep.submit(Expire(limit))

    async def get(self, item_id: str) -> ItemRecord | None:
        """The item with its history."""
        return await self._read("get", reads.get, item_id)

    async def payload(self, item_id: str) -> Body | None:
        """The payload as it came."""
        return await self._read("payload", reads.payload, item_id)

    async def result(self, item_id: str) -> Body | None:
        """What the handler answered."""
        return await self._read("result", reads.result, item_id)

    async def list_items(
        self, queue: str, state: State | ShownState | None, after: str | None, limit: int
    ) -> Page:
        """A page of a queue: of a rare state at once, else in stretches of bounded length."""
        start = cursor(after, Listed)
        if state is not None:
            few = await self._read("list", lists.list_few, queue, state, start, limit)
            if few is not None:
                return few
        following: Listed | None = start
        found: list[ItemRecord] = []
        while following is not None and len(found) < limit:
            records, following = await self._read(
                "list", lists.list_items, queue, state, following, limit - len(found)
            )
            found += records
        return Page(found, encode(following) if following is not None else None)

    async def list_dead(self, selection: Selection, after: str | None, limit: int) -> Page:
        """A page of dead letters."""
        start = cursor(after, ListedDead)
        return await self._read("list", lists.list_dead, selection, start, limit)

    async def redrive(
        self,
        selection: Selection,
        limit: int,
        *,
        dry_run: bool = False,
        trace: TraceContext | None = None,
    ) -> Changed:
        """Put dead letters back in the order they died; `remaining` is of just before."""
        return await self._change_dead(Redrive(selection, limit, trace), dry_run=dry_run)

    async def delete_dead(
        self, selection: Selection, limit: int, *, dry_run: bool = False
    ) -> Changed:
        """Delete dead letters in the order they died; `remaining` is of just before."""
        return await self._change_dead(DeleteDead(selection, limit), dry_run=dry_run)

    async def cancel(self, item_id: str) -> Cancelled:
        """End a queued item."""
        return await self._open_lanes().upkeep.submit(Cancel(item_id))

    async def purge(self, queues: Sequence[QueueConfig], limit: int) -> Mapping[str, int]:
        """Delete old items and at most as many old keys, in commits of few rows.

        Keys count under "" too. A failure after the first commit ends the call early, with the
        counts so far.
        """
        counts: Counter[str] = Counter()
        for rows in (min(PURGE_ROWS, limit - start) for start in range(0, limit, PURGE_ROWS)):
            try:
                purged = await self._open_lanes().upkeep.submit(Purge(queues, rows))
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
        change = ChangePause(queue, is_paused=True, seconds=expires_in_seconds)
        await self._open_lanes().upkeep.submit(change)

    async def resume(self, queue: str) -> None:
        """End a pause."""
        await self._open_lanes().upkeep.submit(ChangePause(queue, is_paused=False))

    async def pauses(self) -> Sequence[Pause]:
        """The pauses in force."""
        return await self._read("pauses", reads.pauses)

    async def snapshot(self, queues: Sequence[str]) -> Snapshot:
        """Counts and ages, of one moment; another process may have counted, if it takes long."""
        counted, now = await self._read("snapshot", look, self._clock)
        if counted.counted_at == now and counted.took_seconds > CHEAP_SECONDS:
            # The others count for themselves if it cannot be kept; the lane has told why.
            with suppress(StoreError):
                await self._open_lanes().upkeep.submit(Keep(counted))
        return counted.snapshot(queues, now, self._clock.wall())

    def connections(self) -> Connections:
        """How many it has, over all pools."""
        return self._pools.connections()

    async def probe(self) -> None:
        """Commit a mark and nothing else, in both lanes that items depend on."""
        lanes = self._open_lanes()
        # Behind everything that either has been given so far: whoever waited for this knows that
        # all of it was answered.
        await asyncio.gather(lanes.intake.submit(Probe()), lanes.slots.submit(Probe()))

    def _open_lanes(self) -> _Lanes:
        if self._lanes is None:
            raise StoreUnavailable(self._why_closed)
        return self._lanes

    async def _change_dead(self, change: ChangeDead, *, dry_run: bool) -> Changed:
        # Counted before: a count that failed afterwards would deny a change that has happened.
        found = await self._read("list", lists.count_dead, change.selection, change.limit)
        if dry_run:
            return found
        counts = await self._open_lanes().upkeep.submit(change)
        matching = found.count + found.remaining
        return Changed(counts, max(matching - sum(counts.values()), 0))

    async def _read(
        self,
        verb: str,
        read: Callable[Concatenate[Connection[Record], P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run statements that see one moment; raises `StoreUnavailable`."""
        self._open_lanes()
        started_at = self._clock.monotonic()
        failure: Exception | None = None
        try:
            return await read_from(self._pools.reads, read, *args, **kwargs)
        except Exception as error:
            failure = store_error(error, fault_of(error))
            raise failure from error
        finally:
            duration = self._clock.monotonic() - started_at
            self._emit(StoreOperationFinished(verb, duration, kind_of(failure)))


class _Lanes:
    """What is written side by side: neither slots nor operators can hold up intake."""

    def __init__(self, make: Callable[[str, Callable[[Pools], Borrowed]], Lane]) -> None:
        self.intake = make("intake", lambda pools: pools.intake())
        self.slots = make("slots", lambda pools: pools.slots())
        self.upkeep = make("upkeep", lambda pools: pools.upkeep())

    async def close(self) -> None:
        """Write and answer what was handed in."""
        await asyncio.gather(self.intake.close(), self.slots.close(), self.upkeep.close())
