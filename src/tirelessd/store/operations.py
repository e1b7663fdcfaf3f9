"""The writes that callers hand in, as values: what each asks for, whatever store writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tirelessd.core.decision import Complete, Settlement
from tirelessd.core.item import Claim, IdempotencyKey, Lease, NewItem, Selection, State
from tirelessd.core.outcome import Failure
from tirelessd.core.trace import TraceContext
from tirelessd.store.base import (
    Cancelled,
    Claimed,
    Conflicting,
    Enqueued,
    Expired,
    HandOff,
    Replayed,
    Settled,
)
from tirelessd.store.commit import Operation


class KnownKey(msgspec.Struct, frozen=True):
    """What an idempotency key stands for; `state` is None once the item is purged."""

    fingerprint: bytes
    item_id: str
    state: State | None

    def answer(self, key: IdempotencyKey) -> Replayed | Conflicting:
        """The answer to an item that comes with the key again."""
        if key.fingerprint == self.fingerprint:
            return Replayed(self.item_id, self.state)
        return Conflicting(self.item_id)


KnownKeys = dict[tuple[str, str], KnownKey]


def answers_by_keys(
    known: KnownKeys, items: Sequence[NewItem]
) -> Sequence[Replayed | Conflicting | None]:
    """What is answered to items whose key is known; None for all others."""
    return [
        known[item.queue, item.key.text].answer(item.key)
        if item.key is not None and (item.queue, item.key.text) in known
        else None
        for item in items
    ]


def last_failure(written: str | None) -> Failure | None:
    """A failure from the JSON that both stores give it as; None where there is none.

    Nor is one known whose reason only a newer version has a word for.
    """
    if written is None:
        return None
    try:
        return msgspec.json.decode(written, type=Failure)
    except msgspec.ValidationError:
        return None


class Enqueue(Operation[Sequence[Enqueued]]):
    """Items to accept, with the slots that were set aside for them when the commit was formed."""

    verb = "enqueue"
    is_patient = False

    def __init__(self, items: Sequence[NewItem], hand_off: HandOff | None) -> None:
        super().__init__()
        self.items = items
        self.hand_off = hand_off
        self.rows = len(items)
        self.size_bytes = sum([len(item.payload) for item in items])
        self.reserved: set[int] = set()
        self.claims: dict[int, Claim] = {}

    @property
    def brings_keys(self) -> bool:
        """Whether any of its items has one."""
        return any(item.key is not None for item in self.items)

    def form(self, now: float) -> None:
        """Set slots aside for what is due, as long as each queue has any."""
        if self.hand_off is None:
            return
        full: set[str] = set()
        for index, item in enumerate(self.items):
            if item.queue in full or due_at(item, now) > now:
                continue
            if self.hand_off.reserve(item.queue):
                self.reserved.add(index)
            else:
                full.add(item.queue)

    def conclude(self) -> None:
        """Hand over what was leased to a slot; give back every other slot."""
        if self.hand_off is None:
            return
        for index in sorted(self.reserved):
            claim = self.claims.get(index) if self.error is None else None
            if claim is not None:
                self.hand_off.deliver(claim)
            else:
                self.hand_off.give_back(self.items[index].queue)


def due_at(item: NewItem, now: float) -> float:
    """When the first attempt of an item accepted now falls due."""
    return max(now + max(item.delay_seconds, 0.0), item.not_before_at or 0.0)


class ClaimDue(Operation[Claimed]):
    """A call for up to `limit` due items of a queue."""

    verb = "claim"

    def __init__(self, queue: str, limit: int, recovered: int, lease_seconds: float = 30.0) -> None:
        super().__init__()
        self.queue = queue
        self.limit = limit
        self.recovered = min(recovered, limit)
        self.lease_seconds = lease_seconds
        self.rows = limit


class Reclaim(Operation[Sequence[Claim]]):
    """A call to take over leases of a process that is gone, or that this one has forgotten.

    Where leases expire, `expired` are the tokens of those that it is about.
    """

    verb = "reclaim"

    def __init__(
        self,
        limit: int,
        forgotten: Sequence[Lease] = (),
        lease_seconds: float = 30.0,
        expired: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.limit = limit
        self.expired = expired
        self.forgotten = forgotten
        self.lease_seconds = lease_seconds
        self.rows = limit


class Settle(Operation[Sequence[Settled]]):
    """Decisions to be written through their leases."""

    verb = "settle"

    def __init__(self, settlements: Sequence[Settlement], lease_seconds: float = 30.0) -> None:
        super().__init__()
        self.settlements = settlements
        self.lease_seconds = lease_seconds
        self.rows = len(settlements)
        self.size_bytes = sum([len(result_of(settlement)) for settlement in settlements])


def result_of(settlement: Settlement) -> bytes:
    """The bytes that the settlement adds to the commit."""
    decision = settlement.decision
    return (decision.result or b"") if isinstance(decision, Complete) else b""


class Fenced(Operation[Sequence[bool]]):
    """A call about leases alone; answered per lease by whether it held."""

    def __init__(self, leases: Sequence[Lease]) -> None:
        super().__init__()
        self.leases = leases
        self.rows = len(leases)


class Release(Fenced):
    """Leases to hand back unused."""

    verb = "release"


class Renew(Fenced):
    """Leases to be confirmed, and to last so much longer where they end by themselves."""

    verb = "renew"

    def __init__(self, leases: Sequence[Lease], lease_seconds: float = 30.0) -> None:
        super().__init__(leases)
        self.lease_seconds = lease_seconds


class Cancel(Operation[Cancelled]):
    """One queued item to be cancelled."""

    verb = "cancel"
    is_patient = False

    def __init__(self, item_id: str) -> None:
        super().__init__()
        self.item_id = item_id


class Expire(Operation[Sequence[Expired]]):
    """Queued items past their deadline to be ended."""

    verb = "expire"

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.rows = limit


class ChangeDead(Operation[Mapping[str, int]]):
    """Dead letters to be changed; answered by how many, per queue."""

    is_patient = False

    def __init__(self, selection: Selection, limit: int) -> None:
        super().__init__()
        self.selection = selection
        self.limit = limit
        self.rows = limit


class Redrive(ChangeDead):
    """Dead letters to be put back; `trace` is where that was asked for."""

    verb = "redrive"

    def __init__(self, selection: Selection, limit: int, trace: TraceContext | None) -> None:
        super().__init__(selection, limit)
        self.trace = trace


class DeleteDead(ChangeDead):
    """Dead letters to be deleted."""

    verb = "delete_dead"


class ChangePause(Operation[None]):
    """A queue to be paused (for so long, or until resumed) or resumed."""

    verb = "pause"
    is_patient = False

    def __init__(self, queue: str, *, is_paused: bool, seconds: float | None = None) -> None:
        super().__init__()
        self.queue = queue
        self.is_paused = is_paused
        self.seconds = seconds


class Probe(Operation[None]):
    """A write without content: proves that a commit would be durable now."""

    verb = "probe"
    is_patient = False
