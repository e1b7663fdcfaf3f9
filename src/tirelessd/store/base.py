"""The contract of every store: what each verb promises, what is atomic, and where the fence stands.

Rules that hold for all verbs:

- A verb that returns has happened durably; one that raises `StoreUnavailable` has not happened at
  all; `CommitUnknown` says that its fate could not be learned. Cancelling a caller never undoes or
  splits a write: what was handed in is written, only the answer is lost.
- Time is the store's own (`now` below). Callers hand in seconds, never instants, except
  `not_before_at`, which is the submitter's word.
- Order is priority (9 first), then due time, then acceptance.
- Concurrent writes may share one commit; each still is atomic by itself, and one caller's bad value
  never fails another's write.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Never, Protocol

import msgspec

from tirelessd.core.decision import Settlement
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
from tirelessd.core.outcome import Failure
from tirelessd.core.queue import QueueConfig
from tirelessd.core.trace import TraceContext


class HandOff(Protocol):
    """The pool's side of a hand-off: an item stored already leased, for a slot that waits for it.

    All are called in the event loop's thread and never block. For each `reserve` that
    answered True exactly one `deliver` or `give_back` follows.
    """

    def reserve(self, queue: str) -> bool:
        """Set one free slot of the queue aside; False when there is none or none may be used."""
        ...

    def lease_seconds(self, queue: str) -> float:
        """How long the lease of a handed-off item lasts until it is renewed."""
        ...

    def deliver(self, claim: Claim) -> None:
        """The item is durable and leased to the reserved slot: run it."""
        ...

    def give_back(self, queue: str) -> None:
        """The reserved slot was not needed, or the commit failed."""
        ...


class Accepted(msgspec.Struct, frozen=True):
    """Stored; with `is_handed_off` a slot has it already. `due_in_seconds` is 0 when it is due."""

    id: str
    state: State
    is_handed_off: bool
    due_in_seconds: float


class Replayed(msgspec.Struct, frozen=True):
    """The key and fingerprint came before; nothing was stored. `state` is None once purged."""

    id: str
    state: State | None


class Conflicting(msgspec.Struct, frozen=True):
    """The key came before with another fingerprint; nothing was stored."""

    id: str


Enqueued = Accepted | Replayed | Conflicting


class Claimed(msgspec.Struct, frozen=True):
    """What a claim found; with fewer than asked for, when the next one is due, if any waits."""

    claims: Sequence[Claim]
    next_due_in_seconds: float | None = None


class Settled(msgspec.Struct, frozen=True):
    """Whether the lease held and the decision was written; `refill` is the claim along with it."""

    is_held: bool
    refill: Claim | None = None


class Expired(msgspec.Struct, frozen=True):
    """An item that waited past its deadline, ended by upkeep; `failure` is its last, if any."""

    item_id: str
    queue: str
    attempts: int
    age_seconds: float
    failure: Failure | None = None


class QueueSnapshot(msgspec.Struct, frozen=True):
    """One queue at one moment. Ages are seconds, 0 where there is nothing to be old.

    `ready_age_seconds` is how long the longest-due claimable item has been due; `item_age_seconds`
    counts from acceptance, per state.
    """

    counts: Mapping[ShownState, int]
    ready_age_seconds: float
    item_age_seconds: Mapping[ShownState, float]

    @property
    def unfinished(self) -> int:
        """Items that have not ended: what the queue's capacity bounds."""
        waiting = (ShownState.READY, ShownState.SCHEDULED, ShownState.RETRYING, ShownState.RUNNING)
        return sum(self.counts.get(state, 0) for state in waiting)


class Snapshot(msgspec.Struct, frozen=True):
    """All queues at one moment; items of unconfigured queues stand in a sum of their own.

    `unconfigured_names` are those of which it has unfinished or dead ones.

    Sizes are of the data, of the room left for it, and of the write-ahead log; None where only the
    store's host knows. `ahead_seconds` is how far the store's time was ahead of this host's clock.
    `dead_rows` are still in the way of searches; the oldest transaction may be what keeps them.
    One that another process took is so old, and took it so long; None for whoever asked to measure.
    """

    queues: Mapping[str, QueueSnapshot]
    unconfigured: QueueSnapshot
    size_bytes: int
    free_bytes: int | None
    log_bytes: int | None
    ahead_seconds: float = 0.0
    dead_rows: int | None = None
    oldest_transaction_seconds: float | None = None
    age_seconds: float = 0.0
    took_seconds: float | None = None
    unconfigured_names: Sequence[str] = ()


class Pause(msgspec.Struct, frozen=True):
    """A queue is paused; for how much longer, or None until it is resumed."""

    queue: str
    expires_in_seconds: float | None


class Changed(msgspec.Struct, frozen=True):
    """How many dead letters a bulk call changed, per queue, and how many that matched it left."""

    counts: Mapping[str, int]
    remaining: int

    @property
    def count(self) -> int:
        """How many in all."""
        return sum(self.counts.values())


class Cancelled(msgspec.Struct, frozen=True):
    """The state after a cancel (None: unknown item), and whether this call changed it.

    `attempts` are those of the item's generation.
    """

    state: State | None
    queue: str = ""
    is_changed: bool = False
    attempts: int = 0


class Connections(msgspec.Struct, frozen=True):
    """A store's connections at one moment: in use, idle, and the most there may be."""

    used: int
    idle: int
    most: int


async def nothing_to_hear() -> Never:
    """Listen where nobody will ever say a word; never returns."""
    while True:
        await asyncio.Event().wait()


class Store(ABC):
    """Durable items, their leases and their history.

    `backend` is the kind ("sqlite"). `label` is known once the store is open: it tells this
    store from all others in metrics, and is the same for whoever shares it, over moves and
    restarts.
    `leases_expire` is False where a lease can only be orphaned by the death of its process. A pool
    that expects nothing looks every `poll_seconds` all the same: others may share the store. What
    `announce` and `listen` bring about between them is a hint: it saves the rest of that wait, may
    come for nothing, and may not come at all.
    """

    backend: str
    label: str
    leases_expire: bool
    poll_seconds: float = 10.0

    @property
    def longest_poll_seconds(self) -> float:
        """How far apart looks may be that find nothing, once and again."""
        return self.poll_seconds

    @abstractmethod
    def announce(self, queue: str) -> None:
        """Tell the other processes that an item is due which no slot of this one waits for."""

    @abstractmethod
    async def listen(self, heard: Callable[[str], None]) -> Never:
        """Call `heard` with the queue of whatever another process announces; never returns.

        What `announce` is told goes out only meanwhile, the last of it when this is cancelled.
        """

    @abstractmethod
    async def open(self) -> None:
        """Reach the store, migrate it and check it; raises `StartError` with a line for people.

        A store that may be reached later raises `StoreUnavailable`, and may be opened again.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what was handed in, then let go; idempotent."""

    @abstractmethod
    async def enqueue(
        self, items: Sequence[NewItem], hand_off: HandOff | None = None
    ) -> Sequence[Enqueued]:
        """Accept items in one atomic step; answers in their order, after the commit.

        An item with a known key is not stored again: `Replayed` or `Conflicting`, also between
        items of one call or one commit. With `hand_off`, an item that is due is stored leased if
        its queue is not paused, has no ready item waiting and `reserve` answers True when the
        commit is formed; after the commit, before this call answers, it is delivered.
        """

    @abstractmethod
    async def find_keys(self, items: Sequence[NewItem]) -> Sequence[Replayed | Conflicting | None]:
        """What `enqueue` would answer to items whose key is known; None for all others."""

    @abstractmethod
    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, recovered: int = 0
    ) -> Claimed:
        """Lease up to `limit` due items, each with a fresh random token; its attempt is counted.

        Never a paused queue's item, one past its deadline, or one leased by someone else. One that
        lost a lease in this generation comes only within `recovered`, which counts toward `limit`.
        `next_due_in_seconds` speaks only of items that this very call could have claimed: nothing
        of a paused queue, and of recovered items only when `recovered` was not 0. With 0 there was
        no time to look: come again at once.
        """

    @abstractmethod
    async def renew(self, leases: Sequence[Lease], lease_seconds: float) -> Sequence[bool]:
        """Extend leases; per lease whether it still held."""

    @abstractmethod
    async def settle(
        self, settlements: Sequence[Settlement], lease_seconds: float = 30.0
    ) -> Sequence[Settled]:
        """Write decisions, each guarded by state and token, never by expiry.

        A refused one changes nothing. One that `is_repeat` counts as held, too, when its lease has
        ended under its own token: then an earlier try was written. A failure is appended to the
        history in the same commit; `RetryAfter` counts from now; a lost lease counts toward
        `Claim.lost_leases`. `refill` claims as `claim` with limit 1 and no recovered item does,
        after all settlements of the commit.
        """

    @abstractmethod
    async def release(self, leases: Sequence[Lease]) -> Sequence[bool]:
        """Hand unfinished items back, due as before, attempt un-counted; fenced like settle."""

    @abstractmethod
    async def reclaim(
        self,
        limit: int,
        lease_seconds: float,
        forgotten: Sequence[Lease] = (),
        *,
        seen_seconds: float = 0.0,
    ) -> Sequence[Claim]:
        """Take over up to `limit` leases of others that calls have seen expired for `seen_seconds`.

        Still expired under the old token becomes a fresh one; `attempt`, the lost one, stays
        counted. The caller decides (`lease_lost`) and settles. Leases of one's own that nobody
        knows any more, as `leases` tells, are taken over too, fenced by their tokens.
        """

    @abstractmethod
    async def leases(self) -> Sequence[Lease]:
        """Every lease that does not expire by itself while this process lives."""

    @abstractmethod
    async def expire(self, limit: int) -> Sequence[Expired]:
        """End up to `limit` queued items past their deadline, dead; paused or not, of any queue."""

    @abstractmethod
    async def get(self, item_id: str) -> ItemRecord | None:
        """The item with its whole history, in one snapshot; None when unknown or purged."""

    @abstractmethod
    async def payload(self, item_id: str) -> Body | None:
        """The payload, byte for byte."""

    @abstractmethod
    async def result(self, item_id: str) -> Body | None:
        """What the handler answered; None when there is none."""

    @abstractmethod
    async def list_items(
        self, queue: str, state: State | ShownState | None, after: str | None, limit: int
    ) -> Page:
        """Items of a queue in the order of acceptance, without history.

        `after` is a former page's `next_after`; raises `InvalidRequest` for any other text.
        """

    @abstractmethod
    async def list_dead(self, selection: Selection, after: str | None, limit: int) -> Page:
        """Dead letters by (died_at, id), each with its last error; paged as `list_items`."""

    @abstractmethod
    async def redrive(
        self,
        selection: Selection,
        limit: int,
        *,
        dry_run: bool = False,
        trace: TraceContext | None = None,
    ) -> Changed:
        """Put dead letters back, due now: new generation; attempts, losses, deadline renewed.

        Key, priority, history and the context of acceptance stay; `trace` is claimed with them, as
        `Claim.redriven`, until the next redrive. With `dry_run` the count only.
        """

    @abstractmethod
    async def delete_dead(
        self, selection: Selection, limit: int, *, dry_run: bool = False
    ) -> Changed:
        """Purge dead letters for good; their idempotency keys stay."""

    @abstractmethod
    async def cancel(self, item_id: str) -> Cancelled:
        """End a queued item, in one statement guarded by `queued`; a cancelled one stays so."""

    @abstractmethod
    async def purge(self, queues: Sequence[QueueConfig], limit: int) -> Mapping[str, int]:
        """Delete up to `limit` ended items that outlived their retention, oldest first, and keys.

        The answer has the purged dead letters per queue, and under "" everything else.
        """

    @abstractmethod
    async def pause(self, queue: str, expires_in_seconds: float | None) -> None:
        """Stop claims and hand-offs of a queue, for so long or until resumed; the last holds."""

    @abstractmethod
    async def resume(self, queue: str) -> None:
        """End a pause; no error when there is none."""

    @abstractmethod
    async def pauses(self) -> Sequence[Pause]:
        """The pauses in force now."""

    @abstractmethod
    async def snapshot(self, queues: Sequence[str]) -> Snapshot:
        """Counts and ages of the configured queues, from index ranges, off the writer."""

    @abstractmethod
    async def probe(self) -> None:
        """Prove that a write would be durable now; raises `StoreError` when not."""

    def connections(self) -> Connections | None:
        """How many it has; None for a store that needs none."""
        return None
