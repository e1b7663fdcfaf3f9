"""The store's contract once more, as plain Python over a list: slow, obvious, and never durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tirelessd.core.decision import Complete, RetryAfter, Settlement
from tirelessd.core.item import Claim, Lease, NewItem, ShownState, State, shown_state
from tirelessd.core.outcome import Reason
from tirelessd.core.queue import QueueConfig
from tirelessd.store.base import Accepted, Conflicting, Enqueued, Replayed


@dataclass
class Entry:
    """An item; `holder` is the token of its lease, while it has one."""

    new: NewItem
    accepted_at: float
    due_at: float
    first_due_at: float
    state: State = State.QUEUED
    attempts: int = 0
    generation: int = 1
    lost_leases: int = 0
    holder: int | None = None
    finished_at: float | None = None
    dead_reason: str | None = None
    result: bytes | None = None
    history: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def deadline_at(self) -> float:
        """When the generation is over."""
        return self.first_due_at + self.new.deadline_seconds

    def is_claimable(self, now: float) -> bool:
        """Whether a claim may take it, its queue and its lost leases aside."""
        return self.state is State.QUEUED and self.due_at <= now < self.deadline_at

    def end(self, state: State, now: float, reason: str | None = None) -> None:
        """Reach a final state."""
        self.state, self.finished_at, self.dead_reason, self.holder = state, now, reason, None


@dataclass
class KnownKey:
    """What an idempotency key stands for."""

    fingerprint: bytes
    item_id: str
    expires_at: float


class Model:
    """All items in the order of acceptance, all keys, all pauses, at the store's time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.entries: dict[str, Entry] = {}
        self.keys: dict[tuple[str, str], KnownKey] = {}
        self.pauses: dict[str, float | None] = {}

    def is_paused(self, queue: str) -> bool:
        """Whether claims and hand-offs stand still."""
        if queue not in self.pauses:
            return False
        expires_at = self.pauses[queue]
        return expires_at is None or expires_at > self.now

    def enqueue(self, items: Sequence[NewItem], slots: int) -> list[Enqueued]:
        """Accept items; as many as there are slots may be handed off."""
        reserved = set(self._due(items)[:slots])
        return [self._accept(item, may_hand_off=item.id in reserved) for item in items]

    def due(self, queue: str, *, recovered: bool) -> list[Entry]:
        """What a claim may take, in order."""
        found = [
            entry
            for entry in self.entries.values()
            if entry.new.queue == queue
            and entry.is_claimable(self.now)
            and (entry.lost_leases > 0) is recovered
        ]
        return sorted(found, key=lambda e: (-e.new.priority, e.due_at))

    def claim(self, queue: str, limit: int, recovered: int) -> list[Entry]:
        """What a claim takes now, in order; the caller grants the leases."""
        if self.is_paused(queue):
            return []
        fresh = self.due(queue, recovered=False)
        found = fresh + self.due(queue, recovered=True)[: min(recovered, limit)]
        order = {id(entry): place for place, entry in enumerate(self.entries.values())}
        return sorted(found, key=lambda e: (-e.new.priority, e.due_at, order[id(e)]))[:limit]

    def grant(self, claims: Iterable[Claim], *, is_attempt: bool = True) -> None:
        """Lease what the store has leased; a take-over is no new attempt."""
        for claim in claims:
            entry = self.entries[claim.item.id]
            entry.state, entry.holder = State.LEASED, claim.lease.token
            entry.attempts += is_attempt

    def holds(self, lease: Lease) -> bool:
        """Whether a lease is live."""
        entry = self.entries.get(lease.item_id)
        return entry is not None and entry.holder == lease.token

    def settle(self, settlement: Settlement) -> bool:
        """Write a decision if the lease holds."""
        if not self.holds(settlement.lease):
            return False
        entry, decision = self.entries[settlement.lease.item_id], settlement.decision
        if isinstance(decision, Complete):
            entry.end(State.SUCCEEDED, self.now)
            entry.result = decision.result
            return True
        entry.history.append((entry.generation, entry.attempts, decision.failure.reason))
        entry.lost_leases += decision.failure.reason is Reason.LEASE_LOST
        if isinstance(decision, RetryAfter):
            entry.state, entry.holder = State.QUEUED, None
            entry.due_at = self.now + decision.seconds
        else:
            entry.end(State.DEAD, self.now, decision.reason)
        return True

    def release(self, lease: Lease) -> bool:
        """Hand an item back if the lease holds."""
        if not self.holds(lease):
            return False
        entry = self.entries[lease.item_id]
        entry.state, entry.holder, entry.attempts = State.QUEUED, None, entry.attempts - 1
        return True

    def leased(self) -> list[str]:
        """What somebody works on, or did when the process died."""
        return self._where(lambda e: e.state is State.LEASED)

    def crash(self) -> None:
        """Leases remain, but nobody holds them."""
        for entry in self.entries.values():
            entry.holder = None

    def expire(self) -> set[str]:
        """End what is overdue."""
        overdue = self._where(lambda e: e.state is State.QUEUED and e.deadline_at <= self.now)
        for item_id in overdue:
            self.entries[item_id].end(State.DEAD, self.now, "expired")
        return set(overdue)

    def dead(self, queue: str | None) -> list[str]:
        """Dead letters in the order they died."""
        found = self._where(
            lambda e: e.state is State.DEAD and (queue is None or e.new.queue == queue)
        )
        return sorted(found, key=lambda item_id: (self.entries[item_id].finished_at, item_id))

    def redrive(self, ids: Iterable[str]) -> None:
        """Put dead letters back."""
        for item_id in ids:
            entry = self.entries[item_id]
            entry.state, entry.finished_at, entry.dead_reason = State.QUEUED, None, None
            entry.generation, entry.attempts, entry.lost_leases = entry.generation + 1, 0, 0
            entry.due_at = entry.first_due_at = self.now

    def purge(self, queues: Sequence[QueueConfig]) -> Counter[str]:
        """Delete what has outlived its retention, and old keys; the answer a store gives."""
        counts = Counter({"": 0})
        for queue in queues:
            kept = queue.retention
            seconds = {
                State.SUCCEEDED: kept.succeeded_seconds,
                State.CANCELLED: kept.cancelled_seconds,
                State.DEAD: kept.dead_seconds,
            }
            of_queue = [(i, e) for i, e in self.entries.items() if e.new.queue == queue.name]
            for item_id, entry in of_queue:
                ended_at = entry.finished_at
                if ended_at is not None and ended_at <= self.now - seconds[entry.state]:
                    counts[entry.new.queue if entry.state is State.DEAD else ""] += 1
                    del self.entries[item_id]
        for key in [key for key, known in self.keys.items() if known.expires_at <= self.now]:
            counts[""] += 1
            del self.keys[key]
        return counts

    def counts(self, queue: str) -> dict[ShownState, int]:
        """How many items are shown in each state."""
        found = Counter(self.shown(e) for e in self.entries.values() if e.new.queue == queue)
        return {state: found[state] for state in ShownState}

    def shown(self, entry: Entry) -> ShownState:
        """What people are shown of an item."""
        return shown_state(entry.state, is_due=entry.due_at <= self.now, attempts=entry.attempts)

    def _where(self, condition: Callable[[Entry], bool]) -> list[str]:
        return [item_id for item_id, entry in self.entries.items() if condition(entry)]

    def _due(self, items: Sequence[NewItem]) -> list[str]:
        return [item.id for item in items if item.delay_seconds == 0.0]

    def _accept(self, item: NewItem, *, may_hand_off: bool) -> Enqueued:
        if item.key is not None:
            known = self.keys.get((item.queue, item.key.text))
            if known is not None and known.expires_at > self.now:
                entry = self.entries.get(known.item_id)
                if known.fingerprint != item.key.fingerprint:
                    return Conflicting(known.item_id)
                return Replayed(known.item_id, entry.state if entry is not None else None)
            expires_at = self.now + item.key.keep_seconds
            self.keys[item.queue, item.key.text] = KnownKey(
                item.key.fingerprint, item.id, expires_at
            )
        due_at = self.now + item.delay_seconds
        is_first = not self.due(item.queue, recovered=False) and not self.is_paused(item.queue)
        self.entries[item.id] = Entry(item, self.now, due_at, due_at)
        if may_hand_off and is_first:
            self.entries[item.id].state = State.LEASED
            return Accepted(item.id, State.LEASED, is_handed_off=True, due_in_seconds=0.0)
        return Accepted(
            item.id, State.QUEUED, is_handed_off=False, due_in_seconds=due_at - self.now
        )
