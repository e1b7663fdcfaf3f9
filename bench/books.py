"""What the store says has ended: the daemon's own books, read while it has nothing to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final, Protocol

import apsw
import asyncpg
import msgspec

from bench.processes import BenchFailed

# The last end is read from the books, so a look may be late; each of them counts rows.
LOOK_SECONDS: Final = 0.5
_SQLITE_ENDED: Final = """
SELECT state, count(*), max(finished_at) FROM items INDEXED BY items_ended
WHERE queue = :queue AND state IN ('succeeded', 'dead') AND finished_at > :since GROUP BY state
"""
_POSTGRES_ENDED: Final = """
SELECT state, count(*), max(finished_at) FROM items
WHERE queue = $1 AND state IN ('succeeded', 'dead') AND finished_at > $2 GROUP BY state
"""


class Ended(msgspec.Struct, frozen=True):
    """Items that ended since an instant, and when the last one did; instants in epoch seconds."""

    succeeded: int
    dead: int
    last_at: float


class Books(Protocol):
    """A store, as it can be read from outside."""

    async def ended(self, queue: str, since: float) -> Ended:
        """What has ended after `since`."""
        ...


class SqliteBooks:
    """An embedded store's file."""

    def __init__(self, database: Path) -> None:
        self._database = database

    async def ended(self, queue: str, since: float) -> Ended:
        """What has ended after `since`."""
        db = apsw.Connection(str(self._database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            db.set_busy_timeout(1_000)
            values = {"queue": queue, "since": since}
            return _as_ended(db.execute(_SQLITE_ENDED, values).fetchall(), since)
        finally:
            db.close()


class PostgresBooks:
    """A shared store's database."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def ended(self, queue: str, since: float) -> Ended:
        """What has ended after `since`, by the database's clock, which is this machine's."""
        connection = await asyncpg.connect(self._url)
        try:
            return _as_ended(await connection.fetch(_POSTGRES_ENDED, queue, since), since)
        finally:
            await connection.close()


def books_of(store: str) -> Books:
    """The books of a store by its URL."""
    if store.startswith("sqlite:///"):
        return SqliteBooks(Path(store.removeprefix("sqlite:///")))
    return PostgresBooks(store)


def _as_ended(found: list[Any], since: float) -> Ended:
    counts = {state: number for state, number, _ in found}
    last_at = max((at for _, _, at in found), default=since)
    return Ended(counts.get("succeeded", 0), counts.get("dead", 0), last_at)


async def wait_ended(books: Books, queue: str, since: float, items: int, seconds: float) -> Ended:
    """The books once so many items have ended; raises `BenchFailed` after so many seconds.

    Also when any ended dead: then something else was measured than was meant.
    """
    ended = await books.ended(queue, since)
    try:
        async with asyncio.timeout(seconds):
            while ended.succeeded + ended.dead < items:
                await asyncio.sleep(LOOK_SECONDS)
                ended = await books.ended(queue, since)
    except TimeoutError:
        raise BenchFailed(f"{queue}: of {items} items {ended} after {seconds:g} s") from None
    if ended.dead:
        raise BenchFailed(f"{queue}: {ended.dead} of {items} items are dead")
    return ended
