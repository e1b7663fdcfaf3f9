"""What tests of stores share: a store that can be opened again, items, decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import uuid_utils

from tests.clock import ManualClock
from tirelessd.core.decision import Complete, Decision, GiveUpBecause, RetryAfter, Settlement
from tirelessd.core.item import Claim, IdempotencyKey, ItemRecord, NewItem
from tirelessd.core.outcome import DeadReason, Failure, Reason
from tirelessd.store.base import Accepted, Enqueued, Store

LEASE_SECONDS = 30.0
DEADLINE_SECONDS = 1_000.0
KEEP_SECONDS = 100.0


class Shelf:
    """One store's data, the store that is open on it now, and its clock."""

    def __init__(
        self, make: Callable[[ManualClock], Store], clock: ManualClock | None = None
    ) -> None:
        self.clock = clock or ManualClock()
        self._make = make
        self.store = make(self.clock)

    async def reopen(self) -> Store:
        """Another start of the process, on the same data: what was leased has lost its holder."""
        await self.store.close()
        self.store = self._make(self.clock)
        await self.store.open()
        return self.store

    async def put(self, *items: NewItem) -> list[str]:
        """Enqueue items that must be accepted; their ids."""
        return [accepted(answer).id for answer in await self.store.enqueue(items)]

    async def take(self, queue: str = "work", limit: int = 100, recovered: int = 0) -> list[Claim]:
        """Claim what is due."""
        claimed = await self.store.claim(queue, limit, LEASE_SECONDS, recovered=recovered)
        return list(claimed.claims)

    async def take_one(self) -> Claim:
        """Claim the one item that is due."""
        [claim] = await self.take()
        return claim

    async def settle(self, *settlements: Settlement) -> list[bool]:
        """Settle, and tell which leases held."""
        return [answer.is_held for answer in await self.store.settle(settlements)]

    async def bury(self, *items: NewItem, reason: DeadReason = DeadReason.PERMANENT) -> list[str]:
        """Enqueue items and give each of them up; their ids."""
        ids = await self.put(*items)
        for queue in {item.queue for item in items}:
            await self.settle(*[give_up(claim, reason) for claim in await self.take(queue)])
        return ids

    async def record(self, item_id: str) -> ItemRecord:
        """The item, which must be known."""
        record = await self.store.get(item_id)
        assert record is not None
        return record


class Slots:
    """Free slots to hand items to, in place of a pool."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.claims: list[Claim] = []

    def reserve(self, _queue: str) -> bool:
        """Set a slot aside."""
        if self.free == 0:
            return False
        self.free -= 1
        return True

    def lease_seconds(self, _queue: str) -> float:
        """What a lease lasts."""
        return LEASE_SECONDS

    def deliver(self, claim: Claim) -> None:
        """Take an item."""
        self.claims.append(claim)

    def give_back(self, _queue: str) -> None:
        """Have a slot back."""
        self.free += 1


def new_item(queue: str = "work", payload: bytes = b"{}", **options: Any) -> NewItem:
    """An item as intake would hand it in."""
    values = {"content_type": "application/json", "deadline_seconds": DEADLINE_SECONDS, **options}
    return NewItem(id=str(uuid_utils.uuid7()), queue=queue, payload=payload, **values)


def key(
    text: str = "k", fingerprint: bytes = b"same", keep: float = KEEP_SECONDS
) -> IdempotencyKey:
    """A caller's idempotency key."""
    return IdempotencyKey(text, fingerprint, keep)


def accepted(answer: Enqueued) -> Accepted:
    """The answer, which must be an acceptance."""
    assert isinstance(answer, Accepted)
    return answer


def ids_of(claims: Sequence[Claim]) -> list[str]:
    """Which items these are."""
    return [claim.item.id for claim in claims]


def decide(claim: Claim, decision: Decision, *, refill: bool = False) -> Settlement:
    """A decision on a claimed item."""
    return Settlement(claim.lease, decision, claim.generation, claim.attempt, 0.5, refill=refill)


def succeed(claim: Claim, result: bytes | None = None, *, refill: bool = False) -> Settlement:
    """The attempt worked."""
    return decide(claim, Complete(result, "text/plain"), refill=refill)


def retry(claim: Claim, seconds: float = 10.0, *, refill: bool = False) -> Settlement:
    """The attempt failed, and another follows."""
    failure = Failure(Reason.HTTP_5XX, "the model is loading", 503)
    return decide(claim, RetryAfter(seconds, failure), refill=refill)


def lose(claim: Claim, seconds: float = 0.0) -> Settlement:
    """The attempt's lease was lost, and another attempt follows."""
    return decide(claim, RetryAfter(seconds, Failure(Reason.LEASE_LOST, "the process died")))


def repeated(settlement: Settlement) -> Settlement:
    """The same settlement, handed in once more."""
    return msgspec.structs.replace(settlement, is_repeat=True)


def give_up(claim: Claim, reason: DeadReason = DeadReason.PERMANENT) -> Settlement:
    """The attempt failed for the last time."""
    return decide(claim, GiveUpBecause(reason, Failure(Reason.PERMANENT, "no such model", 404)))
