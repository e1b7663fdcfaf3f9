"""A commit whose answer is lost: what happened is found out, and what has not never happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from asyncpg import Connection, Record

from tests.clock import ManualClock
from tests.store.shelf import Shelf, Slots, accepted, give_up, new_item, repeated, succeed
from tests.store.still import StillDatabase, StillPools, open_shelf
from tests.waiting import wait_until
from tirelessd.core.errors import CommitUnknown, StoreUnavailable
from tirelessd.core.item import State
from tirelessd.store.postgres.mark import Mark
from tirelessd.store.postgres.transaction import BEGIN

Commit = Callable[[], Awaitable[Any]]
Fault = Callable[[Commit, "Connection[Record]"], Awaitable[None]]


class BreakingPools(StillPools):
    """Connections that break in COMMIT as a test wants it, each fault once."""

    def __init__(self, database: StillDatabase, clock: ManualClock) -> None:
        super().__init__(database, clock)
        self.faults: list[Fault] = []

    @asynccontextmanager
    async def intake(self) -> AsyncIterator[Connection[Record]]:
        """A connection whose commits ask for a fault first."""
        async with super().intake() as connection:
            yield _Breaking(connection, self.faults)  # type: ignore[misc]

    slots = upkeep = intake


class _Breaking:
    """A connection with a fault in it."""

    def __init__(self, connection: Connection[Record], faults: list[Fault]) -> None:
        self._connection = connection
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, sql: str, *values: Any) -> str:
        """Execute, or do what the fault does."""
        if sql.rstrip().endswith("COMMIT") and self._faults:
            fault = self._faults.pop(0)
            await fault(lambda: self._connection.execute(sql), self._connection)
            raise ConnectionResetError
        return await self._connection.execute(sql, *values)


async def lose_message(_commit: Commit, connection: Connection[Record]) -> None:
    """The server never hears of the commit."""
    connection.terminate()


async def lose_answer(commit: Commit, connection: Connection[Record]) -> None:
    """The server commits, and its answer is lost."""
    await commit()
    connection.terminate()


async def be_cancelled(commit: Commit, _connection: Connection[Record]) -> None:
    """Somebody cancels every task there is, this one in the middle of its commit."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await commit()


@pytest.fixture
async def pools() -> BreakingPools:
    """Connections to an empty database."""
    return BreakingPools(StillDatabase(), ManualClock())


@pytest.fixture
async def shelf(pools: BreakingPools) -> AsyncIterator[Shelf]:
    """An open, empty store on those connections."""
    async with open_shelf(pools) as shelf:
        yield shelf


async def test_commit_whose_answer_was_lost_is_found(shelf: Shelf, pools: BreakingPools) -> None:
    """The item is stored once, its caller hears so, and its hand-off reaches the slot."""
    slots, item = Slots(free=1), new_item()
    pools.faults.append(lose_answer)

    [answer] = await shelf.store.enqueue([item], slots)

    assert accepted(answer).id == item.id
    assert [claim.item.id for claim in slots.claims] == [item.id]
    assert await shelf.settle(succeed(slots.claims[0])) == [True]


async def test_commit_that_never_came_is_tried_again(shelf: Shelf, pools: BreakingPools) -> None:
    """On another connection, with fresh tokens; nobody but the log hears of it."""
    slots, item = Slots(free=1), new_item()
    pools.faults.append(lose_message)

    [answer] = await shelf.store.enqueue([item], slots)

    assert accepted(answer).id == item.id
    assert await shelf.settle(succeed(slots.claims[0])) == [True]


async def test_cancelled_commit_leaves_nobody_waiting(shelf: Shelf, pools: BreakingPools) -> None:
    """Its callers hear that nobody knows, and whatever it did, the next commit goes on."""
    pools.faults.append(be_cancelled)
    with pytest.raises(CommitUnknown):
        await shelf.store.enqueue([new_item()], Slots(free=1))
    slots, item = Slots(free=1), new_item(queue="other")

    [answer] = await shelf.store.enqueue([item], slots)

    assert accepted(answer).id == item.id
    assert await shelf.settle(succeed(slots.claims[0])) == [True]


async def test_commit_that_is_cancelled_before_it_begins_leaves_nobody_waiting(
    shelf: Shelf,
) -> None:
    """A task that never had its first turn answers, too."""
    before = asyncio.all_tasks()
    submission = asyncio.ensure_future(shelf.store.enqueue([new_item()], Slots(free=0)))

    def commits() -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() - before if task.get_name() == "commit"]

    while not commits():
        await asyncio.sleep(0)
    commits()[0].cancel()

    with pytest.raises(CommitUnknown):
        await submission
    await shelf.store.probe()


async def test_commit_that_fails_twice_has_not_happened(shelf: Shelf, pools: BreakingPools) -> None:
    """The caller is told so, and nothing is there."""
    slots, item = Slots(free=1), new_item()
    pools.faults += [lose_message, lose_message]

    with pytest.raises(StoreUnavailable):
        await shelf.store.enqueue([item], slots)

    assert await shelf.store.get(item.id) is None
    assert (slots.free, slots.claims) == (1, [])


class Lost:
    """A connection whose commit is on its way, and does not arrive for now."""

    def __init__(self) -> None:
        self.message = ""

    async def execute(self, sql: str) -> None:
        """Keep the message, and break."""
        self.message = sql
        raise ConnectionResetError


async def begun(url: str, mark: Mark, item: str) -> Connection[Record]:
    """A connection in the middle of a transaction that stores an item."""
    connection = await asyncpg.connect(url)
    await connection.execute("SET tirelessd.now = 1")
    await mark.take(connection)
    await connection.execute(BEGIN)
    await connection.execute("INSERT INTO redrives (id, traceparent) VALUES ($1, 'x')", item)
    return connection


async def test_commit_that_was_denied_cannot_come_late(shelf: Shelf, pools: BreakingPools) -> None:
    """Its message lay in a buffer until after it was said that nothing had happened."""
    mark, lost, item = Mark(1, "intake"), Lost(), new_item().id
    late = await begun(pools.url, mark, item)
    with pytest.raises(ConnectionResetError):
        await mark.commit(lost)  # type: ignore[arg-type]

    async with pools.reads() as other:
        has_happened = await mark.has_happened(other, 7)
    with pytest.raises(asyncpg.NotNullViolationError):
        await late.execute(lost.message)

    async with pools.reads() as other:
        assert not has_happened
        assert await other.fetchval("SELECT count(*) FROM redrives") == 0
        assert await mark.has_happened(other, 8) is False
    await late.close()


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_commit_under_way_is_waited_for(shelf: Shelf, pools: BreakingPools, end: str) -> None:
    """Whoever asks while the server is at it hears how it ended."""
    mark, lost, item = Mark(1, "intake"), Lost(), new_item().id
    late = await begun(pools.url, mark, item)
    with pytest.raises(ConnectionResetError):
        await mark.commit(lost)  # type: ignore[arg-type]
    await late.execute(lost.message.removesuffix("COMMIT\n"))

    async with pools.reads() as other:
        asked = asyncio.ensure_future(mark.has_happened(other, 7))
        await wait_until(lambda: is_waiting(late), 10.0)
        await late.execute(end)

        assert await asked is (end == "COMMIT")
    await late.close()


async def is_waiting(connection: Connection[Record]) -> bool:
    """Whether anybody waits for a lock."""
    sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
    return bool(await connection.fetchval(sql))


@pytest.mark.parametrize("fault", [lose_answer, lose_message])
async def test_unknown_fate_is_said_to_be_unknown(
    shelf: Shelf, pools: BreakingPools, fault: Fault
) -> None:
    """When nobody can look, callers hear that; what was leased meanwhile is handed back."""
    slots, item = Slots(free=1), new_item()

    async def and_all_is_gone(commit: Commit, connection: Connection[Record]) -> None:
        await fault(commit, connection)
        pools.is_out_of_reach = True

    pools.faults.append(and_all_is_gone)
    with pytest.raises(CommitUnknown):
        await shelf.store.enqueue([item], slots)
    pools.is_out_of_reach = False

    await shelf.store.probe()

    record = await shelf.store.get(item.id)
    assert (slots.free, slots.claims) == (1, [])
    assert (record is not None) is (fault is lose_answer)
    assert record is None or (record.state, record.attempts) == (State.QUEUED, 0)


@pytest.mark.parametrize("fault", [lose_answer, lose_message])
async def test_settlement_of_unknown_fate_is_settled_by_its_repetition(
    shelf: Shelf, pools: BreakingPools, fault: Fault
) -> None:
    """Whether or not the first one was written, the second one holds, and it counts once."""
    [item_id] = await shelf.put(new_item())
    settlement = give_up(await shelf.take_one())

    async def and_all_is_gone(commit: Commit, connection: Connection[Record]) -> None:
        await fault(commit, connection)
        pools.is_out_of_reach = True

    pools.faults.append(and_all_is_gone)
    with pytest.raises(CommitUnknown):
        await shelf.settle(settlement)
    pools.is_out_of_reach = False

    held = await shelf.settle(repeated(settlement))

    record = await shelf.record(item_id)
    assert held == [True]
    assert (record.state, len(record.history)) == (State.DEAD, 1)


async def test_database_that_was_put_back_is_taken_up(shelf: Shelf, pools: BreakingPools) -> None:
    """A fail-over that lost the last commits loses the mark too: the next commit begins afresh."""
    connection = await asyncpg.connect(pools.url)
    await connection.execute("UPDATE commits SET mark = 1")
    await connection.close()

    [item_id] = await shelf.put(new_item())

    assert (await shelf.record(item_id)).state is State.QUEUED
