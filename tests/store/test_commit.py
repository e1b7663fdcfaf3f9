"""Group commit by itself: who shares a batch, who is refused, and what nobody can undo."""

from __future__ import annotations

import asyncio

import pytest

from tests.clock import START_AT, ManualClock
from tests.recorder import Recorder
from tirelessd.core.clock import SteadyClock
from tirelessd.core.errors import (
    CommitPending,
    CommitUnknown,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnstorableValue,
)
from tirelessd.core.events import StoreOperationFinished
from tirelessd.store.commit import (
    BATCH_BYTES,
    BATCH_ROWS,
    WAITING_BYTES,
    WAITING_ROWS,
    Batch,
    Committer,
    Operation,
)


class Write(Operation[str]):
    """Something to be written, which notes what is done with it."""

    verb = "enqueue"

    def __init__(self, name: str, log: list[str], rows: int = 1, size_bytes: int = 0) -> None:
        super().__init__()
        self.name = name
        self.rows = rows
        self.size_bytes = size_bytes
        self._log = log

    def form(self, now: float) -> None:
        """Note the moment."""
        self._log.append(f"form {self.name} at {now - START_AT:g}")

    def conclude(self) -> None:
        """Note that the fate is known, and whether anybody has heard of it yet."""
        self._log.append(f"conclude {self.name}{' too late' if self.waiter.done() else ''}")


class Release(Write):
    """Another verb."""

    verb = "release"


class Submission(Write):
    """A write whose caller will not wait for ever."""

    is_patient = False


class Desk:
    """A committer, and the batches that have come out of it for the test to write."""

    def __init__(self, patience_seconds: float = 60.0) -> None:
        self.clock = ManualClock()
        self.recorder = Recorder()
        self.log: list[str] = []
        self.batches: list[Batch] = []
        self.committer = Committer(
            self.batches.append,
            SteadyClock(self.clock).now,
            self.clock,
            self.recorder,
            patience_seconds,
        )

    def write(self, name: str, rows: int = 1, size_bytes: int = 0) -> asyncio.Future[str]:
        """Hand in a write."""
        return self.committer.submit(Write(name, self.log, rows, size_bytes))

    def submit(self, name: str, rows: int = 1, size_bytes: int = 0) -> asyncio.Future[str]:
        """Hand in a write for somebody impatient."""
        return self.committer.submit(Submission(name, self.log, rows, size_bytes))

    def names(self) -> list[list[str]]:
        """Who is in which batch."""
        return [[getattr(op, "name", "") for op in batch.operations] for batch in self.batches]

    def finish(self, error: Exception | None = None) -> None:
        """Report the latest batch, every write of it answered by its own name, or failed."""
        batch = self.batches[-1]
        for operation in batch.operations:
            operation.outcome = f"{getattr(operation, 'name', '')} is written"
            operation.error = error
        self.committer.finish(batch)


@pytest.fixture
async def desk() -> Desk:
    """A committer with all the patience in the world."""
    return Desk()


async def a_round() -> None:
    """Let everybody who is awake have a turn."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_all_who_write_in_one_round_share_a_commit(desk: Desk) -> None:
    """The batch is formed once they have all had their turn."""
    desk.write("a")
    desk.write("b")

    await a_round()

    assert desk.names() == [["a", "b"]]


async def test_what_comes_during_a_commit_waits_for_the_next(desk: Desk) -> None:
    """One commit is in flight at a time, and the next begins as soon as it has ended."""
    desk.write("a")
    await a_round()
    desk.write("b")
    desk.write("c")
    await a_round()
    during = desk.names()

    desk.finish()

    assert during == [["a"]]
    assert desk.names() == [["a"], ["b", "c"]]


async def test_everybody_hears_of_the_commit(desk: Desk) -> None:
    """Each its own answer."""
    waiters = [desk.write("a"), desk.write("b")]
    await a_round()

    desk.finish()

    assert await asyncio.gather(*waiters) == ["a is written", "b is written"]


async def test_failure_is_everybodys_answer(desk: Desk) -> None:
    """And the next commit is a new chance."""
    waiter = desk.write("a")
    await a_round()
    desk.finish(CommitUnknown("lost"))
    again = desk.write("a")
    await a_round()

    desk.finish()

    with pytest.raises(CommitUnknown):
        await waiter
    assert await again == "a is written"


async def test_decisions_fall_before_the_commit_and_before_the_answer(desk: Desk) -> None:
    """`form` sees the store's time of the commit, `conclude` comes before any waiter wakes."""
    desk.clock.advance(3.0)
    desk.write("a")
    desk.write("b")
    await a_round()
    formed = list(desk.log)

    desk.finish()

    assert formed == ["form a at 3", "form b at 3"]
    assert desk.log == [*formed, "conclude a", "conclude b"]
    assert desk.batches[0].now == START_AT + 3.0


async def test_gone_waiter_changes_nothing(desk: Desk) -> None:
    """Its write stays in the batch, and the others are answered."""
    gone, there = desk.write("gone"), desk.write("there")

    gone.cancel()
    await a_round()
    desk.finish()

    assert desk.names() == [["gone", "there"]]
    assert "conclude gone too late" in desk.log
    assert await there == "there is written"


@pytest.mark.parametrize(
    ("rows", "size_bytes"), [(BATCH_ROWS // 2, 0), (1, BATCH_BYTES // 2)], ids=["rows", "bytes"]
)
async def test_batch_is_bounded(desk: Desk, rows: int, size_bytes: int) -> None:
    """What is too much for one commit waits for the next, in order."""
    for name in "abcde":
        desk.write(name, rows, size_bytes)
    await a_round()

    desk.finish()
    desk.finish()

    assert desk.names() == [["a", "b"], ["c", "d"], ["e"]]


async def test_write_beyond_the_bound_is_a_batch_of_its_own(desk: Desk) -> None:
    """It is not refused, and takes nobody along."""
    desk.write("a")
    desk.write("huge", BATCH_ROWS * 2)
    desk.write("b")
    await a_round()

    desk.finish()
    desk.finish()

    assert desk.names() == [["a"], ["huge"], ["b"]]


async def test_what_gathers_behind_a_hanging_commit_is_refused(desk: Desk) -> None:
    """Nothing of it has happened; the commit itself is waited for; later ones are welcome."""
    impatient = Desk(patience_seconds=0.0)
    hanging = impatient.write("hanging")
    await a_round()
    behind = impatient.write("behind")

    with pytest.raises(StoreUnavailable) as raised:
        await behind
    impatient.finish()
    later = impatient.write("later")
    await a_round()
    impatient.finish()

    assert raised.value.kind == "timeout"
    assert impatient.recorder.events[0] == StoreOperationFinished("enqueue", 0.0, "timeout")
    assert await hanging == "hanging is written"
    assert await later == "later is written"


async def test_impatient_caller_in_a_hanging_commit_is_answered_for_now() -> None:
    """It hears that the fate is open, and can learn it later; the patient one waits on."""
    impatient = Desk(patience_seconds=0.0)
    submitted, patient = impatient.submit("a"), impatient.write("b")
    await a_round()

    with pytest.raises(CommitPending) as raised:
        await submitted
    is_answered_early = patient.done()
    late = asyncio.ensure_future(raised.value.fate)
    for _ in range(20):  # patience is lost again and again, which changes nothing more
        await a_round()
    impatient.finish()

    assert raised.value.kind == "timeout"
    assert not is_answered_early
    assert await late == "a is written"
    assert await patient == "b is written"


async def test_late_failure_that_nobody_asks_for_is_silent() -> None:
    """A caller may go with the first answer; an error nobody retrieves would be a warning."""
    impatient = Desk(patience_seconds=0.0)
    submitted = impatient.submit("a")
    await a_round()
    with pytest.raises(CommitPending):
        await submitted

    impatient.finish(CommitUnknown("lost"))

    assert impatient.recorder.events[-1] == StoreOperationFinished("enqueue", 0.0, "other")


async def test_patience_is_as_long_as_two_commits_that_are_slow_but_go_well() -> None:
    """A database that answers, if slowly, is waited for; as before, once it is quick again."""
    impatient = Desk(patience_seconds=0.0)
    first = impatient.write("first")
    await a_round()
    impatient.clock.advance(0.5)
    impatient.finish()

    waiting = impatient.submit("waiting")
    for _ in range(3):
        await a_round()
    is_waited_for = not waiting.done()
    impatient.finish()
    refused = impatient.submit("refused")
    await a_round()

    assert is_waited_for
    assert (await first, await waiting) == ("first is written", "waiting is written")
    with pytest.raises(CommitPending):
        await refused


async def test_slow_failure_lends_no_patience() -> None:
    """It tells nothing of how long a commit would take that goes well."""
    impatient = Desk(patience_seconds=0.0)
    failing = impatient.write("failing")
    await a_round()
    impatient.clock.advance(0.5)
    impatient.finish(StoreUnavailable("broken", "busy"))

    refused = impatient.submit("refused")
    await a_round()

    with pytest.raises(CommitPending):
        await refused
    with pytest.raises(StoreUnavailable, match="broken"):
        await failing


async def test_nobody_new_waits_while_a_commit_hangs() -> None:
    """The impatient are refused at once until the disk has answered."""
    impatient = Desk(patience_seconds=0.0)
    patient = impatient.write("hanging")
    await a_round()
    with pytest.raises(StoreUnavailable):
        await impatient.submit("behind")

    with pytest.raises(StoreUnavailable) as raised:
        await impatient.submit("later")
    impatient.finish()
    again = impatient.submit("again")
    await a_round()
    impatient.finish()

    assert raised.value.kind == "timeout"
    assert await patient == "hanging is written"
    assert await again == "again is written"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (StoreFull("no room"), StoreFull),
        (StoreUnavailable("broken", "busy"), StoreUnavailable),
        (CommitUnknown("lost"), StoreUnavailable),
    ],
)
async def test_after_a_failed_commit_one_at_a_time_tries_again(
    desk: Desk, failure: StoreError, kind: type[StoreError]
) -> None:
    """The impatient do not queue behind the next try; they hear the same, and that nothing is."""
    first = desk.submit("a")
    await a_round()
    desk.finish(failure)
    trying = desk.submit("b")
    await a_round()

    with pytest.raises(StoreUnavailable) as raised:
        await desk.submit("c")
    desk.finish()
    later = [desk.submit("d"), desk.submit("e")]
    await a_round()
    desk.finish()

    assert type(first.exception()) is type(failure)
    assert (type(raised.value), raised.value.kind) == (kind, failure.kind)
    assert await trying == "b is written"
    assert await asyncio.gather(*later) == ["d is written", "e is written"]


async def test_refusal_leaves_the_loop_a_turn(desk: Desk) -> None:
    """A caller that comes again at once cannot keep the loop from hearing of the disk."""
    failed = desk.submit("a")
    await a_round()
    desk.finish(StoreFull("no room"))
    trying = desk.submit("b")
    await a_round()
    asyncio.get_running_loop().call_soon(desk.finish)

    with pytest.raises(StoreFull):
        await desk.submit("again and again")

    assert type(failed.exception()) is StoreFull
    assert trying.done()


async def test_bad_value_keeps_nobody_else_out(desk: Desk) -> None:
    """A commit that failed for what it was given says nothing about the disk."""
    bad = desk.submit("bad")
    await a_round()
    desk.finish(UnstorableValue("too large"))
    others = [desk.submit("a"), desk.submit("b")]
    await a_round()

    desk.finish()

    assert isinstance(bad.exception(), UnstorableValue)
    assert await asyncio.gather(*others) == ["a is written", "b is written"]


@pytest.mark.parametrize(
    ("rows", "size_bytes"), [(WAITING_ROWS // 2, 0), (1, WAITING_BYTES // 2)], ids=["rows", "bytes"]
)
async def test_what_waits_is_bounded(desk: Desk, rows: int, size_bytes: int) -> None:
    """Too much is refused before it takes memory; what holds a slot is never refused so."""
    desk.submit("in flight")
    await a_round()
    desk.submit("a", rows, size_bytes)
    desk.submit("b", rows, size_bytes)

    with pytest.raises(StoreUnavailable) as raised:
        await desk.submit("c", rows, size_bytes)
    desk.write("d", rows, size_bytes)
    for _ in range(3):
        desk.finish()
    desk.submit("e", rows, size_bytes)

    assert raised.value.kind == "busy"
    assert [name for batch in desk.names() for name in batch][:4] == ["in flight", "a", "b", "d"]


async def test_closing_waits_for_what_was_handed_in(desk: Desk) -> None:
    """Every batch to the last; nothing more is taken."""
    first = desk.write("a")
    await a_round()
    second = desk.write("b")
    closing = asyncio.ensure_future(desk.committer.close())
    await a_round()
    is_closed_early = closing.done()

    desk.finish()
    desk.finish()
    await closing

    assert not is_closed_early
    assert [await first, await second] == ["a is written", "b is written"]
    with pytest.raises(StoreUnavailable):
        desk.write("c")


async def test_each_verb_of_a_commit_is_reported_once(desk: Desk) -> None:
    """With the commit's duration, and the kind of a failure among its operations."""
    waiters = [desk.write("a"), desk.write("b")]
    waiters.append(desk.committer.submit(Release("c", desk.log)))
    await a_round()
    desk.clock.advance(0.25)
    desk.batches[0].operations[1].error = StoreUnavailable("no", "busy")

    desk.committer.finish(desk.batches[0])

    await asyncio.gather(*waiters, return_exceptions=True)
    assert desk.recorder.events == [
        StoreOperationFinished("enqueue", 0.25, "busy"),
        StoreOperationFinished("release", 0.25, None),
    ]
