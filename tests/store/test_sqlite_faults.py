"""When the disk, another process or an operator gets in the way of a commit on SQLite."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from tests.clock import ManualClock
from tests.recorder import Recorder
from tests.store.disk import FaultyDisk
from tests.store.shelf import LEASE_SECONDS, Shelf, Slots, ids_of, key, new_item, retry, succeed
from tests.waiting import wait_until
from tirelessd.core.errors import (
    CommitUnknown,
    StartError,
    StoreFull,
    StoreUnavailable,
    UnstorableValue,
)
from tirelessd.core.events import StoreOperationFinished
from tirelessd.core.item import ItemRecord, State
from tirelessd.core.queue import QueueConfig, Retention
from tirelessd.store.base import Accepted
from tirelessd.store.sqlite import SqliteStore
from tirelessd.store.sqlite.faults import Fault, fault_of

BUSY_SECONDS = 0.05


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "tirelessd.db"


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    """A disk between SQLite and the host's."""
    with FaultyDisk() as disk:
        yield disk


@pytest.fixture
async def shelf(path: Path) -> AsyncIterator[Shelf]:
    """A store that does not wait long for a lock."""
    shelf = Shelf(lambda clock: SqliteStore(path, clock=clock, busy_seconds=BUSY_SECONDS))
    await shelf.store.open()
    yield shelf
    await shelf.store.close()


@pytest.fixture
async def fragile(disk: FaultyDisk, shelf: Shelf) -> Shelf:
    """A store on the disk that fails when told to."""
    assert disk.rule("sync", "") is None
    return shelf


async def test_full_disk_refuses_and_heals(disk: FaultyDisk, fragile: Shelf) -> None:
    """Nothing of the call happened; what was there stays readable; with room it goes on."""
    [before] = await fragile.put(new_item())
    refused, after = new_item(payload=bytes(50_000)), new_item()
    disk.fail("write", "-wal", apsw.SQLITE_FULL, times=1_000)

    with pytest.raises(StoreFull) as raised:
        await fragile.store.enqueue([refused])
    disk.heal()

    await fragile.put(after)
    assert raised.value.kind == "full"
    assert (await fragile.record(before)).state is State.QUEUED
    assert ids_of(await fragile.take()) == [before, after.id]


@pytest.mark.parametrize("has_reader", [False, True])
async def test_failed_flush_did_not_happen_and_never_will(
    disk: FaultyDisk, fragile: Shelf, path: Path, tmp_path: Path, *, has_reader: bool
) -> None:
    """The caller is refused, and not even a crash brings the item to life."""
    item, slots = new_item(), Slots(free=1)
    await fragile.store.probe()
    if has_reader:  # it holds on to the log, which otherwise ends with the connection
        await fragile.store.get(item.id)
    disk.fail("sync", "-wal", apsw.SQLITE_IOERR_FSYNC)

    with pytest.raises(StoreUnavailable) as raised:
        await fragile.store.enqueue([item], slots)

    assert raised.value.kind == "other"
    assert (slots.free, slots.claims) == (1, [])
    assert await fragile.store.get(item.id) is None
    assert await found_after_a_crash(path, tmp_path, item.id) is None
    assert await fragile.take() == []


async def found_after_a_crash(path: Path, tmp_path: Path, item_id: str) -> ItemRecord | None:
    """The item in a copy of the files as they are now: what the next start would find."""
    crashed = tmp_path / "crashed.db"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{path}{suffix}", f"{crashed}{suffix}")
    store = SqliteStore(crashed, clock=ManualClock())
    await store.open()
    found = await store.get(item_id)
    await store.close()
    return found


async def test_unknown_fate_is_said_and_the_leases_come_back(
    disk: FaultyDisk, fragile: Shelf
) -> None:
    """While the disk lets nobody find out, the answer is "unknown"; no lease is stranded by it."""
    ids = await fragile.put(new_item(), new_item())
    handed, slots = new_item(), Slots(free=1)
    disk.fail("sync", "", apsw.SQLITE_IOERR_FSYNC, times=1_000)

    with pytest.raises(CommitUnknown):
        await fragile.take()
    with pytest.raises(CommitUnknown):
        await fragile.store.enqueue([handed], slots)
    disk.heal()

    claims = await fragile.take()
    assert ids_of(claims) == [*ids, handed.id]
    assert {claim.attempt for claim in claims} == {1}
    assert slots.free == 1
    assert await fragile.settle(*[succeed(claim) for claim in claims]) == [True] * len(claims)


async def test_commit_that_did_happen_is_answered_as_such(disk: FaultyDisk, fragile: Shelf) -> None:
    """If the new connection finds the commit and can keep it, the callers hear of their success."""
    item, slots = new_item(), Slots(free=1)
    await fragile.store.probe()
    # The second failure keeps the old connection from clearing the log as it closes.
    disk.fail("sync", "-wal", apsw.SQLITE_IOERR_FSYNC, times=2)

    [answer] = await fragile.store.enqueue([item], slots)

    assert answer.id == item.id
    assert ids_of(slots.claims) == [item.id]
    assert await fragile.settle(succeed(slots.claims[0])) == [True]


async def test_foreign_write_lock_is_answered_in_time(shelf: Shelf, path: Path) -> None:
    """Everybody who waits is told "busy" and nothing of theirs happened; then it goes on."""
    foreign = apsw.Connection(str(path))
    foreign.execute("BEGIN IMMEDIATE")
    items = [new_item() for _ in range(20)]

    answers = await asyncio.gather(
        *[shelf.store.enqueue([item]) for item in items], return_exceptions=True
    )
    foreign.execute("ROLLBACK")
    foreign.close()

    assert {getattr(answer, "kind", None) for answer in answers} == {"busy"}
    assert await shelf.take() == []
    assert len(await shelf.put(new_item())) == 1


async def test_start_under_a_foreign_write_lock_says_so(path: Path) -> None:
    """The one line that the start ends with tells of the other process, not of SQLite's words."""
    before = SqliteStore(path, clock=ManualClock(), busy_seconds=BUSY_SECONDS)
    await before.open()
    await before.close()
    foreign = apsw.Connection(str(path))
    foreign.execute("BEGIN IMMEDIATE")

    with pytest.raises(StartError, match="another process holds the database's write lock"):
        await SqliteStore(path, clock=ManualClock(), busy_seconds=BUSY_SECONDS).open()

    foreign.close()


async def test_foreign_reader_is_no_obstacle(shelf: Shelf, path: Path) -> None:
    """Writes go on beside it, and once it has gone the log shrinks, with new writes and without."""
    foreign = begin_to_read(path)
    grown = await written(shelf, megabytes=30)
    foreign.close()
    shrunk = await written(shelf, megabytes=20)
    foreign = begin_to_read(path)
    grown_again = await written(shelf, megabytes=30)

    foreign.close()

    async def is_cut() -> bool:
        return (await shelf.store.snapshot([])).log_bytes == 0

    await wait_until(is_cut, seconds=20.0)
    assert min(grown, grown_again) > 30_000_000
    assert shrunk <= 17_000_000


def begin_to_read(path: Path) -> apsw.Connection:
    """Another process's backup, say, that takes its time."""
    foreign = apsw.Connection(str(path))
    foreign.execute("BEGIN")
    foreign.execute("SELECT count(*) FROM items").fetchall()
    return foreign


async def written(shelf: Shelf, megabytes: int) -> int:
    """The size of the log after so much has been written."""
    for _ in range(megabytes):
        await shelf.put(*[new_item(payload=bytes(20_000)) for _ in range(50)])
    return (await shelf.store.snapshot([])).log_bytes or 0


def move(path: Path, target: Path) -> None:
    """Move a file away, or back."""
    path.rename(target)


def replace_by_a_copy(path: Path) -> None:
    """Put another file with the same content in a file's place."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


async def test_moved_file_is_not_written_to(shelf: Shelf, path: Path) -> None:
    """Writes are refused while the file is elsewhere, and go on when it is back."""
    [item_id] = await shelf.put(new_item())
    elsewhere = path.with_name("elsewhere")
    move(path, elsewhere)
    shelf.clock.advance(1.0)

    with pytest.raises(StoreUnavailable, match="moved, replaced or deleted"):
        await shelf.put(new_item())
    move(elsewhere, path)

    assert (await shelf.take_one()).item.id == item_id


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_replaced_file_is_not_written_to(shelf: Shelf, path: Path, suffix: str) -> None:
    """Another file in its place, or in its log's, is none of ours."""
    await shelf.put(new_item())
    replace_by_a_copy(Path(f"{path}{suffix}"))
    shelf.clock.advance(1.0)

    with pytest.raises(StoreUnavailable):
        await shelf.put(new_item())


@pytest.mark.parametrize("left_bytes", [0, 8_192, 30_000])
@pytest.mark.parametrize("call", ["write", "sync"])
async def test_log_that_is_cut_within_a_commit_is_noticed(
    disk: FaultyDisk, fragile: Shelf, path: Path, call: str, left_bytes: int
) -> None:
    """SQLite writes on behind the hole; nobody is told that what stands there is kept."""
    await fragile.put(*[new_item(payload=bytes(3_000)) for _ in range(10)])
    log = Path(f"{path}-wal")

    def rule(asked: str, name: str) -> None:
        if asked == call and name.endswith("-wal"):
            os.truncate(log, left_bytes)
            disk.heal()

    disk.rule = rule

    with pytest.raises(CommitUnknown, match="-wal was overwritten or cut"):
        await fragile.put(new_item())
    with pytest.raises(StoreUnavailable, match="-wal was overwritten or cut"):
        await fragile.put(new_item())


# Fifteen megabytes in one commit, within the time that its caller waits: no other test beside it.
@pytest.mark.alone
async def test_log_that_is_begun_anew_may_outgrow_the_former(shelf: Shelf) -> None:
    """One commit larger than all of the log before it is no sign of damage."""
    for _ in range(3):
        await shelf.put(*[new_item(payload=bytes(3_000)) for _ in range(1_100)])

    await shelf.put(*[new_item(payload=bytes(3_000)) for _ in range(5_000)])
    await shelf.put(new_item())

    assert len(await shelf.take(limit=10_000)) == 8_301


async def test_failure_is_counted_by_its_kind(path: Path) -> None:
    """One event per verb and commit: its duration, and what kind of failure it was."""
    recorder = Recorder()
    store = SqliteStore(path, clock=ManualClock(), emit=recorder, busy_seconds=BUSY_SECONDS)
    await store.open()
    await asyncio.gather(store.enqueue([new_item()]), store.enqueue([new_item()]), store.probe())
    foreign = apsw.Connection(str(path))
    foreign.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable):
        await store.claim("work", 1, LEASE_SECONDS)
    await store.get("nobody")

    foreign.close()
    await store.close()
    events = recorder.of(StoreOperationFinished)
    assert [(event.operation, event.error_kind) for event in events] == [
        ("enqueue", None),
        ("probe", None),
        ("claim", "busy"),
        ("get", None),
    ]


async def test_read_that_takes_too_long_is_given_up(path: Path) -> None:
    """It ends with kind "timeout", and later reads are unharmed."""
    clock = ManualClock()
    store = SqliteStore(path, clock=clock, read_seconds=-1.0)
    await store.open()
    for _ in range(20):
        await store.enqueue([new_item() for _ in range(1_000)])

    with pytest.raises(StoreUnavailable) as raised:
        await store.snapshot(["work"])

    assert raised.value.kind == "timeout"
    assert await store.get("nobody") is None
    await store.close()


async def test_failing_checkpoint_fails_nobody(disk: FaultyDisk, fragile: Shelf) -> None:
    """The commit before it is durable; the connection is made anew for the next one."""
    disk.fail("sync", ".db", apsw.SQLITE_IOERR_FSYNC, times=3)

    for _ in range(10):
        await fragile.put(*[new_item(payload=bytes(20_000)) for _ in range(50)])

    assert len(await fragile.take(limit=1_000)) == 500


async def test_purge_that_fails_midway_tells_what_it_did(disk: FaultyDisk, fragile: Shelf) -> None:
    """The commits before the failure stand and are counted; the next call does the rest."""
    await fragile.put(*[new_item() for _ in range(700)])
    await fragile.settle(*[succeed(claim) for claim in await fragile.take(limit=700)])
    fragile.clock.advance(100.0)
    queues = [QueueConfig("work", retention=Retention(succeeded_seconds=1.0))]
    commits = itertools.count()

    def rule(call: str, name: str) -> int | None:
        is_second = call == "sync" and name.endswith("-wal") and next(commits) == 1
        return apsw.SQLITE_IOERR_FSYNC if is_second else None

    disk.rule = rule

    first = await fragile.store.purge(queues, 1_000)
    second = await fragile.store.purge(queues, 1_000)

    assert (dict(first), dict(second)) == ({"": 500}, {"": 200})


@pytest.mark.parametrize("when", range(1, 40, 3))
async def test_any_single_write_may_fail(disk: FaultyDisk, fragile: Shelf, when: int) -> None:
    """Whichever write of a busy time fails, answers and data agree afterwards."""
    calls = 0

    def rule(call: str, _name: str) -> int | None:
        nonlocal calls
        calls += call == "write"
        return apsw.SQLITE_IOERR_WRITE if call == "write" and calls == when else None

    disk.rule = rule
    stored, refused = set(), set()
    for _ in range(6):
        item = new_item(payload=bytes(6_000))
        try:
            await fragile.put(item)
        except StoreUnavailable:
            refused.add(item.id)
        else:
            stored.add(item.id)
    disk.heal()

    claims = await fragile.take()
    assert len(refused) <= 1
    assert set(ids_of(claims)) == stored
    assert await fragile.settle(*[retry(claim) for claim in claims]) == [True] * len(stored)


@pytest.mark.parametrize(
    ("code", "system_errno", "fault"),
    [
        (apsw.SQLITE_FULL, 0, Fault.FULL),
        (apsw.SQLITE_IOERR_WRITE, errno.EFBIG, Fault.FULL),
        (apsw.SQLITE_IOERR_WRITE, errno.EIO, Fault.BROKEN),
        (apsw.SQLITE_IOERR_FSYNC, errno.ENOSPC, Fault.BROKEN),
        (apsw.SQLITE_BUSY, 0, Fault.BUSY),
        (apsw.SQLITE_LOCKED, 0, Fault.BUSY),
        (apsw.SQLITE_INTERRUPT, 0, Fault.SLOW),
        (apsw.SQLITE_CONSTRAINT, 0, Fault.VALUE),
        (apsw.SQLITE_TOOBIG, 0, Fault.VALUE),
        (apsw.SQLITE_CORRUPT, 0, Fault.BROKEN),
        (apsw.SQLITE_READONLY, 0, Fault.BROKEN),
    ],
)
def test_every_error_has_its_fault(code: int, system_errno: int, fault: Fault) -> None:
    """Only a write that the kernel refused for want of room is certain not to have happened."""
    error = apsw.exception_for(code)

    assert fault_of(error, system_errno) is fault


async def test_checkpoint_that_finds_no_room_is_no_strangers_doing(
    disk: FaultyDisk, fragile: Shelf
) -> None:
    """What it has copied by then stays; later commits do not take it for foreign writing."""
    writes = itertools.count()

    def rule(call: str, name: str) -> int | None:
        is_late = call == "write" and name.endswith(".db") and next(writes) >= 40
        return apsw.SQLITE_FULL if is_late else None

    disk.rule = rule
    for _ in range(10):
        await fragile.put(*[new_item(payload=bytes(20_000)) for _ in range(50)])
    disk.heal()
    await fragile.put(new_item())

    assert next(writes) > 40
    assert len(await fragile.take(limit=1_000)) == 501


@pytest.mark.parametrize("table", ["results", "items"])
async def test_dropped_table_is_nobodys_bad_value(shelf: Shelf, path: Path, table: str) -> None:
    """Every call is refused as the store's failure, so that no item is given up for it."""
    [item_id] = await shelf.put(new_item())
    claim = await shelf.take_one()
    foreign = apsw.Connection(str(path))
    foreign.execute(f"DROP TABLE {table}")
    foreign.close()

    with pytest.raises(StoreUnavailable, match="was dropped or changed") as settled:
        await shelf.settle(succeed(claim, b"done"))
    with pytest.raises(StoreUnavailable, match="was dropped or changed"):
        await shelf.store.probe()

    assert item_id == claim.item.id
    assert not isinstance(settled.value, UnstorableValue)


async def test_purged_number_is_never_given_again(path: Path) -> None:
    """A list that had stopped at the last item goes on with the next one after a restart."""
    shelf = Shelf(lambda clock: SqliteStore(path, clock=clock))
    await shelf.store.open()
    await shelf.put(*[new_item() for _ in range(3)])
    await shelf.settle(*[succeed(claim) for claim in await shelf.take()])
    page = await shelf.store.list_items("work", None, None, 2)
    shelf.clock.advance(100.0)
    queues = [QueueConfig("work", retention=Retention(succeeded_seconds=1.0))]
    await shelf.store.purge(queues, 100)

    await shelf.reopen()
    [item_id] = await shelf.put(new_item())

    later = await shelf.store.list_items("work", None, page.next_after, 10)
    assert [item.id for item in later.items] == [item_id]
    await shelf.store.close()


async def test_file_that_cannot_be_looked_at_repeats_no_commit(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads that fail around a commit neither store an item twice nor lose its answer."""
    real, calls = os.pread, itertools.count()

    def failing(descriptor: int, length: int, offset: int) -> bytes:
        if next(calls) % 3 != 0:
            raise OSError(errno.EIO, "as the test wants it")
        return real(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", failing)
    stored = []
    for _ in range(20):
        items = [new_item(key=key()), new_item()]
        stored += await asyncio.gather(*[shelf.store.enqueue([item]) for item in items])
    monkeypatch.undo()

    accepted_ids = {answer.id for (answer,) in stored if isinstance(answer, Accepted)}
    assert next(calls) >= 20
    assert len(accepted_ids) == 21
    assert set(ids_of(await shelf.take(limit=100))) == accepted_ids
