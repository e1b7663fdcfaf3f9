"""Any history of calls leaves a store as it leaves the plain model beside it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.store.conftest import KINDS
from tests.store.model import Model
from tests.store.shelf import LEASE_SECONDS, Shelf, Slots, decide, ids_of, key, new_item
from tirelessd.core.decision import Complete, Decision, GiveUpBecause, RetryAfter
from tirelessd.core.item import Claim, ItemRecord, NewItem, Selection, State
from tirelessd.core.outcome import DeadReason, Failure, Reason
from tirelessd.core.queue import QueueConfig, Retention

T = TypeVar("T")

# A round trip is longer than a call into a library; what both stores share is tried on the quicker.
EXAMPLES = {"sqlite": 40, "postgresql": 10}
QUEUES = ("a", "b")
# Binary fractions: sums of them are exact, so that the model and the store agree to the last bit.
SECONDS = st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 4.0, 16.0])
RETENTION = Retention(succeeded_seconds=2.0, cancelled_seconds=4.0, dead_seconds=16.0)
CONFIGS = [QueueConfig("a", retention=RETENTION)]
LOST = Failure(Reason.LEASE_LOST, "gone")
BROKEN = Failure(Reason.HTTP_5XX, "broken", 500)

queues = st.sampled_from(QUEUES)
# One choice per item or decision, so that hypothesis has room for long histories.
options = st.sampled_from(
    [
        {"queue": queue, "priority": priority, "delay_seconds": delay, **other}
        for queue in QUEUES
        for priority, delay in ((4, 0.0), (4, 0.0), (5, 0.0), (3, 1.0))
        for other in (
            {"deadline_seconds": 512.0},
            {"deadline_seconds": 512.0, "payload": b"\0\xff"},
            {"deadline_seconds": 8.0},
            {"deadline_seconds": 512.0, "key": key("x", b"1", 1.0)},
            {"deadline_seconds": 512.0, "key": key("x", b"1", 16.0)},
            {"deadline_seconds": 512.0, "key": key("x", b"2", 16.0)},
        )
    ]
)
items = options.map(lambda values: new_item(**cast(dict[str, Any], values)))
decisions = st.sampled_from(
    [
        Complete(),
        Complete(b"result"),
        RetryAfter(0.0, LOST),
        RetryAfter(0.0, BROKEN),
        RetryAfter(4.0, BROKEN),
        RetryAfter(1.0, LOST),
        GiveUpBecause(DeadReason.PERMANENT, BROKEN),
        GiveUpBecause(DeadReason.MAX_ATTEMPTS, LOST),
    ]
)
ends = st.lists(st.tuples(decisions, st.booleans()), min_size=1, max_size=4)


class History(RuleBasedStateMachine):
    """Calls on a store and on its model; `kind` is set by the subclass that a test makes."""

    kind: str

    @initialize(new=st.lists(items, min_size=4, max_size=8))
    def open(self, new: list[NewItem]) -> None:
        """Begin with some items."""
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.claims: list[Claim] = []
        self.runner.run(self._open())
        self.enqueue(new, 1)

    async def _open(self) -> None:
        self.shelf = Shelf(KINDS[self.kind](Path(self.folder.name)))
        await self.shelf.store.open()
        self.model.now = self.shelf.clock.wall()

    def teardown(self) -> None:
        """Look at everything once more, and leave nothing behind."""
        self.look()
        self.runner.run(self.shelf.store.close())
        self.runner.close()
        self.folder.cleanup()

    def wait(self, call: Awaitable[T]) -> T:
        """Run a call to its end."""

        async def outer() -> T:
            return await call

        return self.runner.run(outer())

    def keep(self, claims: list[Claim], expected: list[str]) -> None:
        """Compare what was claimed, and remember the leases, for good use and for bad."""
        assert ids_of(claims) == expected
        self.model.grant(claims)
        for claim in claims:
            entry = self.model.entries[claim.item.id]
            seen = (claim.attempt, claim.generation, claim.lost_leases, claim.item.payload)
            assert seen == (
                entry.attempts,
                entry.generation,
                entry.lost_leases,
                entry.new.payload,
            )
            assert claim.elapsed_seconds == self.model.now - entry.first_due_at
        self.claims += claims

    @rule(new=st.lists(items, min_size=1, max_size=4), free=st.integers(0, 2))
    def enqueue(self, new: list[NewItem], free: int) -> None:
        """Items come in, and some find a free slot."""
        slots = Slots(free)

        answers = self.wait(self.shelf.store.enqueue(new, slots))

        assert answers == self.model.enqueue(new, free)
        assert slots.free + len(slots.claims) == free
        handed_off = [a.id for a in answers if getattr(a, "is_handed_off", False)]
        self.keep(slots.claims, handed_off)

    @rule(queue=queues, limit=st.integers(0, 6), recovered=st.integers(0, 2))
    def claim(self, queue: str, limit: int, recovered: int) -> None:
        """A pool asks for work."""
        expected = self.model.claim(queue, limit, recovered)

        found = self.wait(self.shelf.take(queue, limit, recovered))

        self.keep(found, [entry.new.id for entry in expected])

    @rule(queue=queues, chosen=ends)
    def work(self, queue: str, chosen: list[tuple[Decision, bool]]) -> None:
        """A pool asks for work, and it ends at once."""
        self.claim(queue, len(chosen), 2)
        if self.claims:
            self.settle(chosen)

    @precondition(lambda self: self.claims)
    @rule(chosen=ends)
    def settle(self, chosen: list[tuple[Decision, bool]]) -> None:
        """The latest attempts end, some of them under a lease that was lost before."""
        settlements = {
            claim.lease: decide(claim, decision, refill=refill)
            for claim, (decision, refill) in zip(reversed(self.claims), chosen, strict=False)
        }

        answers = self.wait(self.shelf.store.settle(list(settlements.values())))

        held = [self.model.settle(settlement) for settlement in settlements.values()]
        assert [answer.is_held for answer in answers] == held
        for answer, settlement in zip(answers, settlements.values(), strict=True):
            if settlement.refill and answer.is_held:
                expected = self.model.claim(settlement.lease.queue, 1, 0)
                found = [answer.refill] if answer.refill is not None else []
                self.keep(found, [entry.new.id for entry in expected])
            else:
                assert answer.refill is None

    @precondition(lambda self: self.claims)
    @rule(number=st.integers(0, 5))
    def release(self, number: int) -> None:
        """A drain hands an item back."""
        lease = self.claims[-1 - number % len(self.claims)].lease

        assert self.wait(self.shelf.store.release([lease])) == [self.model.release(lease)]

    @precondition(lambda self: self.claims)
    @rule()
    def renew(self) -> None:
        """Every lease ever granted is tried; those that live are told."""
        leases = [claim.lease for claim in self.claims]

        answers = self.wait(self.shelf.store.renew(leases, LEASE_SECONDS))

        assert answers == [self.model.holds(lease) for lease in leases]

    @precondition(lambda self: self.model.leased())
    @rule(limit=st.integers(1, 3))
    def crash(self, limit: int) -> None:
        """The process dies and another one takes over."""
        self.wait(self.shelf.reopen())
        self.model.crash()
        self.advance(LEASE_SECONDS + 1.0)
        orphans = self.model.leased()
        found: list[Claim] = []

        while claims := self.wait(self.shelf.store.reclaim(limit, LEASE_SECONDS)):
            assert len(claims) <= limit
            found += claims

        assert sorted(ids_of(found)) == sorted(orphans)
        self.model.grant(found, is_attempt=False)
        self.claims += found

    @rule()
    def expire(self) -> None:
        """Upkeep ends what is overdue."""
        ended = self.wait(self.shelf.store.expire(1_000))

        assert {item.item_id for item in ended} == self.model.expire()

    @precondition(lambda self: self.model.dead(None))
    @rule(queue=st.none() | queues, limit=st.integers(1, 3), is_deletion=st.booleans())
    def change_dead(self, queue: str | None, limit: int, is_deletion: bool) -> None:  # noqa: FBT001
        """An operator puts dead letters back, or deletes them."""
        store, selection = self.shelf.store, Selection(queue=queue)
        dead = self.model.dead(queue)
        verb = store.delete_dead if is_deletion else store.redrive

        changed = self.wait(verb(selection, limit))

        assert (changed.count, changed.remaining) == (len(dead[:limit]), len(dead[limit:]))
        if is_deletion:
            for item_id in dead[:limit]:
                del self.model.entries[item_id]
        else:
            self.model.redrive(dead[:limit])

    @precondition(lambda self: self.model.entries)
    @rule(number=st.integers(0, 99))
    def cancel(self, number: int) -> None:
        """A caller changes its mind."""
        item_id, entry = list(self.model.entries.items())[number % len(self.model.entries)]
        is_queued = entry.state is State.QUEUED

        answer = self.wait(self.shelf.store.cancel(item_id))

        if is_queued:
            entry.end(State.CANCELLED, self.model.now)
        assert (answer.state, answer.is_changed) == (entry.state, is_queued)

    @rule()
    def purge(self) -> None:
        """Upkeep forgets what is old."""
        counts = self.wait(self.shelf.store.purge(CONFIGS, 1_000))

        assert counts == self.model.purge(CONFIGS)

    @rule(queue=queues, seconds=st.none() | SECONDS)
    def pause(self, queue: str, seconds: float | None) -> None:
        """An operator pauses a queue."""
        self.wait(self.shelf.store.pause(queue, seconds))

        self.model.pauses[queue] = None if seconds is None else self.model.now + seconds

    @precondition(lambda self: self.model.pauses)
    @rule()
    def resume(self) -> None:
        """An operator lets everything go on."""
        for queue in QUEUES:
            self.wait(self.shelf.store.resume(queue))

        self.model.pauses.clear()

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.shelf.clock.advance(seconds)
        self.model.now += seconds

    @rule()
    def look(self) -> None:
        """Every item and every view of the store is as the model has it."""
        self.compare_items()
        self.compare_views()

    def compare_items(self) -> None:
        """State, counts, times, history and result of each."""
        for item_id, entry in self.model.entries.items():
            record = self.wait(self.shelf.record(item_id))
            body = self.wait(self.shelf.store.result(item_id))
            assert (record.state, record.shown_state) == (entry.state, self.model.shown(entry))
            assert (record.attempts, record.generation) == (entry.attempts, entry.generation)
            assert (record.due_at, record.deadline_at) == (entry.due_at, entry.deadline_at)
            assert (record.finished_at, record.dead_reason) == (
                entry.finished_at,
                entry.dead_reason,
            )
            history = [(f.generation, f.attempt, f.reason) for f in record.history]
            assert history == entry.history
            assert (body.content if body else None) == entry.result

    def compare_views(self) -> None:
        """Counts, lists and pauses, which show nothing that the model does not have."""
        snapshot = self.wait(self.shelf.store.snapshot(QUEUES))
        pauses = self.wait(self.shelf.store.pauses())
        dead = self.wait(self.shelf.store.list_dead(Selection(), None, 1_000))
        assert {p.queue for p in pauses} == {q for q in QUEUES if self.model.is_paused(q)}
        assert ids_of_records(dead.items) == self.model.dead(None)
        for queue in QUEUES:
            page = self.wait(self.shelf.store.list_items(queue, None, None, 1_000))
            expected = [i for i, e in self.model.entries.items() if e.new.queue == queue]
            assert dict(snapshot.queues[queue].counts) == self.model.counts(queue)
            assert ids_of_records(page.items) == expected


def ids_of_records(records: Sequence[ItemRecord]) -> list[str]:
    """Which items these are."""
    return [record.id for record in records]


@pytest.mark.parametrize("kind", KINDS)
def test_store_is_its_model_made_durable(kind: str) -> None:
    """Whatever is called in whatever order, the store answers and remembers as the model does."""
    machine = type("HistoryOfKind", (History,), {"kind": kind})

    run_state_machine_as_test(
        machine, settings=settings(max_examples=EXAMPLES[kind], stateful_step_count=50)
    )
