"""A move carries all over, changes nothing at its source, and refuses what is not its own."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import msgspec
import pytest
from asyncpg import Connection, Record

from tests.postgres import execute
from tests.recorder import Recorder
from tests.store.shelf import LEASE_SECONDS, give_up, key, lose, new_item, retry, succeed
from tests.store.transfer.moving import STATES, Ends, answers, config, ignore
from tirelessd.core.clock import SystemClock
from tirelessd.core.errors import Misconfigured, StartError
from tirelessd.core.item import Claim, NewItem, Selection
from tirelessd.core.queue import QueueConfig, Retention
from tirelessd.core.trace import TraceContext
from tirelessd.store.postgres.pools import PostgresPools
from tirelessd.store.sqlite.connection import migrate, open_writer
from tirelessd.store.sqlite.lock import LockFile
from tirelessd.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from tirelessd.store.transfer.move import Progress, move
from tirelessd.store.transfer.rows import Place
from tirelessd.store.transfer.source import open_source
from tirelessd.store.transfer.target import Target, open_target
from tirelessd.store.transfer.verify import Differs

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REDRIVE = TraceContext("00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01")
NOT_KEPT = QueueConfig("other", retention=Retention(0.0, 0.0, 0.0))
STRANGER = """
INSERT INTO items (id, accepted_at, first_due_at, due_at, deadline_at, deadline_seconds, priority,
    state, queue) VALUES ('{}', 1, 1, 1, 1, 1, 4, 'queued', 'work')
"""
KEYS = [("work", key("kept")), ("work", key("kept", b"else")), ("other", key("purged"))]


class Stopped(Exception):
    """A move was interrupted by a test."""


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[Ends]:
    """Both ends, the source open and the target empty."""
    ends = Ends(tmp_path / "tirelessd.db")
    await ends.source.store.open()
    await ends.database.open()
    yield ends
    await ends.source.store.close()
    await ends.target.store.close()


def odd_items() -> list[NewItem]:
    """Items with everything that an item can have, and with next to nothing."""
    return [
        new_item(payload=b"", content_type="text/plain; charset=\xfc"),
        new_item(payload=bytes(range(256)) * 5_000, headers={"x-tenant": "ünïcode"}),
        new_item(trace=TraceContext(TRACEPARENT, "a=1,b=2"), priority=0),
        new_item(key=key("kept"), delay_seconds=5.0, deadline_seconds=0.1 + 0.2),
        new_item("unconfigured"),
    ]


async def fill(ends: Ends) -> list[str]:
    """A store with items in every state, of several generations; their ids."""
    shelf = ends.source
    ids = await shelf.bury(new_item(), new_item(), new_item())
    await shelf.store.redrive(Selection(ids=ids[:1]), 10, trace=REDRIVE)
    await shelf.store.redrive(Selection(ids=ids[1:2]), 10)
    [redriven, other] = await shelf.take()
    await shelf.settle(retry(redriven, 0.25), lose(other))
    ids += await shelf.put(*odd_items())
    await shelf.store.cancel(ids[-1])
    ids += await shelf.put(*[new_item(priority=9) for _ in range(4)])
    first, second, third, fourth = await shelf.take(limit=4)
    await shelf.settle(succeed(first, b""), succeed(second), give_up(third), retry(fourth, 7.0))
    await shelf.put(new_item("other", key=key("purged")))
    await shelf.settle(succeed((await shelf.take("other"))[0]))
    shelf.clock.advance(1.0)
    await shelf.store.purge([NOT_KEPT], 10)
    await shelf.take(limit=1)
    await shelf.store.pause("work", 60.0)
    await shelf.store.pause("other", None)
    return ids


def bare(claim: Claim) -> Claim:
    """A claim without what is drawn afresh for each."""
    lease = msgspec.structs.replace(claim.lease, token=0)
    return msgspec.structs.replace(claim, lease=lease)


async def work_on(ends: Ends, side: str) -> list[Any]:
    """What the first daemon does on either end: take over what was left, and claim all the rest."""
    shelf = ends.source if side == "source" else ends.target
    await shelf.reopen()
    shelf.clock.advance(20.0)
    found: list[Any] = [bare(c) for c in await shelf.store.reclaim(10, LEASE_SECONDS)]
    await shelf.store.resume("work")
    found += [bare(claim) for claim in await shelf.take(recovered=100)]
    shelf.clock.advance(-20.0)
    return found


def fingerprint(ends: Ends) -> list[bytes]:
    """What is in the source's files."""
    files = (ends.path, ends.path.with_name(ends.path.name + "-wal"))
    return [hashlib.sha256(file.read_bytes()).digest() for file in files if file.exists()]


def stop_after(shown: list[Progress], limit: int, progress: Progress) -> None:
    """Leave off when so much was shown."""
    shown.append(progress)
    if len(shown) == limit:
        raise Stopped


def stop_before_comparing(progress: Progress) -> None:
    """Leave off when everything is copied."""
    if progress.step == "comparing":
        raise Stopped


async def test_everything_is_there_afterwards(ends: Ends) -> None:
    """Bytes, headers, traces, times, histories, results, keys, pauses: every answer is the same."""
    ids = await fill(ends)
    before = await answers(ends.source.store, ids, KEYS, states=STATES)
    await ends.source.store.close()

    moved = await ends.move()

    await ends.target.store.open()
    assert await answers(ends.target.store, ids, KEYS, states=STATES) == before
    sums = {each.table: each.rows for each in moved.sums}
    assert (sums["items"], sums["redrives"], sums["idempotency_keys"]) == (len(ids), 1, 2)


async def test_work_goes_on_as_after_a_restart(ends: Ends) -> None:
    """The next daemon takes over the same leases and claims the same items in the same order."""
    await fill(ends)
    await ends.source.store.close()
    await ends.move()

    there, here = await work_on(ends, "target"), await work_on(ends, "source")

    assert here
    assert there == here
    assert {claim.redriven for claim in there} == {None, REDRIVE}


async def test_a_key_is_known_until_when_it_would_have_been(ends: Ends) -> None:
    """Its last second is the same one, wherever it is asked for."""
    await ends.source.put(new_item(key=key("kept", keep=64.0)))
    await ends.source.store.close()
    await ends.move()
    await ends.target.store.open()
    again = [new_item(key=key("kept"))]

    ends.clock.advance(63.5)
    [known] = await ends.target.store.find_keys(again)
    ends.clock.advance(0.5)
    [expired] = await ends.target.store.find_keys(again)

    assert (known is None, expired is None) == (False, True)


async def test_new_items_come_after_all_that_ever_were(ends: Ends) -> None:
    """A list that stopped at an item which has been purged since goes on behind it."""
    [first] = await ends.source.put(new_item())
    await ends.source.put(new_item("other"), new_item("other"))
    await ends.source.settle(*[succeed(claim) for claim in await ends.source.take("other")])
    ends.clock.advance(1.0)
    await ends.source.store.purge([NOT_KEPT], 10)
    await ends.source.store.close()
    await ends.move()
    await ends.target.store.open()

    [second] = await ends.target.put(new_item())

    page = await ends.target.store.list_items("work", None, None, 10)
    assert [record.id for record in page.items] == [first, second]
    assert [claim.lease.row for claim in await ends.target.take()] == [1, 4]


async def test_an_empty_store_is_moved_too(ends: Ends) -> None:
    """There is nothing to copy, and the first item there is the first."""
    await ends.source.store.close()

    moved = await ends.move()

    await ends.target.store.open()
    assert sum(each.rows for each in moved.sums) == 0
    await ends.target.put(new_item())
    assert (await ends.target.take_one()).lease.row == 1


async def test_the_source_stays_as_it_is(ends: Ends) -> None:
    """Not a byte of the database or of its log changes, and a daemon can go on with it."""
    ids = await fill(ends)
    before = await answers(ends.source.store, ids)
    # A daemon that was killed leaves its log behind: a copy of the files is just that.
    log = ends.path.with_name(ends.path.name + "-wal").read_bytes()
    content = ends.path.read_bytes()
    assert log
    await ends.source.store.close()
    ends.path.write_bytes(content)
    ends.path.with_name(ends.path.name + "-wal").write_bytes(log)
    files = fingerprint(ends)

    await ends.move()

    assert fingerprint(ends) == files
    await ends.source.reopen()
    assert await answers(ends.source.store, ids) == before


async def test_a_store_in_use_is_not_moved(ends: Ends) -> None:
    """While a daemon holds the file the move names it and does nothing."""
    await ends.source.put(new_item())

    with pytest.raises(StartError, match="is in use by process"):
        await ends.move()


async def test_a_store_that_is_moved_is_not_used(ends: Ends) -> None:
    """Meanwhile no daemon starts on the file, nor on the database."""
    await fill(ends)
    await ends.source.store.close()
    pools = PostgresPools(config(ends.database.url), SystemClock(), Recorder())
    refused: list[str] = []

    def start(progress: Progress) -> None:
        try:
            LockFile(ends.path).acquire()
        except StartError as error:
            refused.append(str(error))
        if progress.done == progress.total:
            raise Stopped

    with pytest.raises(Stopped):
        await ends.move(show=start)
    with pytest.raises(Misconfigured, match="moved here in part only: run tirelessd migrate-store"):
        await pools.open()

    assert refused
    assert all("is in use by process" in line for line in refused)
    await ends.move()
    await pools.open()
    await pools.close()


class HesitantPools(PostgresPools):
    """A daemon that is held up on its way in, while somebody begins to move a store there."""

    async def _make(self, size: int) -> asyncpg.Pool[Record]:
        if not self._pools:
            mark = "INSERT INTO transfers (source, source_mark) VALUES ('sqlite-other', 1)"
            await execute(self._config.url, f"{mark} ON CONFLICT DO NOTHING")
        return await super()._make(size)


async def test_daemon_that_hesitates_finds_the_mark(ends: Ends) -> None:
    """It looks with a session that stays, so that it finds the mark, or is found by the mover."""
    pools = HesitantPools(config(ends.database.url), SystemClock(), Recorder())

    with pytest.raises(Misconfigured, match="sqlite-other has been moved here in part only"):
        await pools.open()

    assert pools.connections().used == pools.connections().idle == 0


async def test_a_move_goes_on_where_it_stopped(ends: Ends) -> None:
    """Whatever step it is stopped at, the next one begins with what is missing, and no earlier."""
    ids = await fill(ends)
    before = await answers(ends.source.store, ids, KEYS)
    await ends.source.store.close()
    begins_at: list[int] = []

    for limit in range(1, 5):
        shown: list[Progress] = []
        with pytest.raises(Stopped):
            await ends.move(show=partial(stop_after, shown, limit))
        begins_at.append(shown[0].done)
    with pytest.raises(Stopped):
        await ends.move(show=stop_before_comparing)
    await ends.move()

    # A batch has three of them, and the last show of each is of a batch that was committed.
    assert begins_at == [0, 0, 3, 9]
    await ends.target.store.open()
    assert await answers(ends.target.store, ids, KEYS) == before


async def test_a_source_that_went_on_is_moved_from_the_beginning(ends: Ends) -> None:
    """What was copied of a store that has changed since is thrown away."""
    ids = await fill(ends)
    await ends.source.store.close()

    def stop(progress: Progress) -> None:
        if progress.done:
            raise Stopped

    with pytest.raises(Stopped):
        await ends.move(show=stop)
    await ends.source.reopen()
    await ends.source.store.resume("work")
    await ends.source.settle(*[give_up(claim) for claim in await ends.source.take()])
    before = await answers(ends.source.store, ids, KEYS)
    await ends.source.store.close()

    await ends.move()

    await ends.target.store.open()
    assert await answers(ends.target.store, ids, KEYS) == before


async def test_a_second_move_has_nothing_to_do(ends: Ends) -> None:
    """It says when the first was, and leaves alone what has become of the items since."""
    ids = await fill(ends)
    await ends.source.store.close()
    await ends.move()
    await ends.target.store.open()
    await ends.target.store.resume("work")
    before = await answers(ends.target.store, ids)
    await ends.target.store.close()

    moved = await ends.move()

    await ends.target.store.open()
    assert moved.finished_at is not None
    assert await answers(ends.target.store, ids) == before


async def test_a_source_that_was_used_after_its_move_is_refused(ends: Ends) -> None:
    """Two stores with the same items have gone different ways; nobody can put them together."""
    await ends.source.store.close()
    await ends.move()
    await ends.source.reopen()
    await ends.source.put(new_item())
    await ends.source.store.close()

    with pytest.raises(Misconfigured, match="was written to after it had been moved"):
        await ends.move()


async def test_a_target_with_items_of_its_own_is_refused(ends: Ends) -> None:
    """Nothing is ever mixed into somebody else's store, nor deleted from it."""
    await ends.source.store.close()
    await ends.target.store.open()
    await ends.target.put(new_item())

    with pytest.raises(Misconfigured, match="items, keys or pauses that are not from sqlite-"):
        await ends.move(is_anew=True)


async def test_a_target_of_another_source_is_refused(ends: Ends, tmp_path: Path) -> None:
    """Whether that move was finished or not."""
    await ends.source.store.close()
    await ends.move()
    others = Ends(tmp_path / "other.db")
    others.database = ends.database
    await others.source.store.open()
    await others.source.store.close()

    with pytest.raises(Misconfigured, match="holds what was moved from sqlite-"):
        await others.move()


async def test_a_target_in_use_is_refused(ends: Ends) -> None:
    """A daemon that is connected would attempt the first items while the last ones are copied."""
    await ends.source.store.close()
    pools = PostgresPools(config(ends.database.url), SystemClock(), Recorder())
    await pools.open()

    async with pools.reads():
        with pytest.raises(StartError, match="1 sessions of tirelessd are open on it"):
            await ends.move(session_seconds=0.0)

    await pools.close()


async def test_two_moves_of_one_store_do_not_mix(ends: Ends, tmp_path: Path) -> None:
    """Of a store and its copy, which has the same identity, one is moved and the other gives up."""
    await fill(ends)
    await ends.source.store.close()
    copy = Ends(tmp_path / "copy.db")
    copy.path.write_bytes(ends.path.read_bytes())
    with pytest.raises(Stopped):
        await ends.move(show=partial(stop_after, [], 3))

    with open_source(copy.path, ends.clock.monotonic, 3) as other:
        async with open_target(config(ends.database.url)) as target:
            first = next(other.batches(Place()))
            with pytest.raises(StartError, match="another process moves something there"):
                await target.put(other.label, first, Place())

    assert (await ends.move()).sums


async def test_a_difference_is_named(ends: Ends) -> None:
    """A target that came out otherwise is never opened to daemons, until it is moved anew."""
    await fill(ends)
    await ends.source.store.close()
    with pytest.raises(Stopped):
        await ends.move(show=stop_before_comparing)
    await execute(ends.database.url, "UPDATE items SET due_at = due_at + 1e-6 WHERE number = 4")

    for _ in range(2):
        with pytest.raises(Differs, match=r"items: [-0-9a-f]{36} differs in due_at"):
            await ends.move()

    assert (await ends.move(is_anew=True)).sums


async def test_what_only_the_target_has_is_named(ends: Ends) -> None:
    """One more than in the source is a difference too."""
    await fill(ends)
    await ends.source.store.close()
    stranger = new_item().id
    with pytest.raises(Stopped):
        await ends.move(show=stop_before_comparing)
    await execute(ends.database.url, STRANGER.format(stranger))

    with pytest.raises(Differs, match=f"in the database, such as {stranger}"):
        await ends.move()


@pytest.fixture
async def poor(ends: Ends) -> AsyncIterator[Connection[Record]]:
    """A connection of a user who has every right that a daemon needs, and owns nothing."""
    connection = await asyncpg.connect(ends.database.url)
    await connection.execute("DROP ROLE IF EXISTS mover; CREATE ROLE mover")
    await connection.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO mover"
    )
    await connection.execute("SET ROLE mover")
    yield connection
    await connection.execute("RESET ROLE; DROP OWNED BY mover; DROP ROLE mover")
    await connection.close()


@pytest.mark.filterwarnings("default")  # the server's, that only an owner may analyze
async def test_who_may_not_set_the_sequence_is_told_first(
    ends: Ends, poor: Connection[Record]
) -> None:
    """Without it the move would fail at its very end; with it no owner is needed."""
    await fill(ends)
    await ends.source.store.close()
    target = Target(poor, config(ends.database.url))

    with open_source(ends.path, ends.clock.monotonic) as source:
        with pytest.raises(Misconfigured, match=r"must not set the sequence of items\.number"):
            await move(source, target, ignore)
        await poor.execute("RESET ROLE; GRANT UPDATE ON SEQUENCE items_number_seq TO mover")
        await poor.execute("SET ROLE mover")
        moved = await move(source, target, ignore)

    assert moved.sums


async def test_a_damaged_source_is_refused(ends: Ends) -> None:
    """An item without its payload could not be attempted anywhere."""
    [item_id] = await ends.source.put(new_item())
    await ends.source.store.close()
    db = apsw.Connection(str(ends.path))
    db.execute("DELETE FROM payloads")
    db.close()

    with pytest.raises(StartError, match=f"the item {item_id} has no payload"):
        await ends.move()


async def test_an_old_schema_is_refused(ends: Ends, tmp_path: Path) -> None:
    """The daemon brings its file up when it starts; a move does not touch it."""
    ends.path = tmp_path / "old.db"
    apsw.Connection(str(ends.path)).execute("PRAGMA journal_mode = wal").close()
    db = open_writer(ends.path, 1.0)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrate(db, MIGRATIONS[:-1])
    db.close()

    with pytest.raises(Misconfigured, match="run tirelessd migrate with this store"):
        await ends.move()


async def test_a_file_that_is_not_there_is_refused(ends: Ends, tmp_path: Path) -> None:
    """Neither it nor a lock beside it is made."""
    ends.path = tmp_path / "none.db"

    with pytest.raises(Misconfigured, match=r"none\.db is not there"):
        await ends.move()

    assert not ends.path.with_name("none.db.lock").exists()


async def test_who_reads_only_leaves_the_boot_in_the_lock(ends: Ends) -> None:
    """By it the next daemon knows whether the machine was restarted since the last one wrote."""
    await ends.source.store.close()
    lock = ends.path.with_name(ends.path.name + ".lock")
    lock.write_text("1\nanother-boot\nwith-database")

    await ends.move()

    assert lock.read_text().split()[1:] == ["another-boot", "with-database"]
