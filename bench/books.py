"""What the store says has ended: the daemon's own books, read while it has nothing to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from bench.processes import BenchFailed

LOOK_SECONDS: Final = 0.1
_ENDED: Final = """
SELECT state, count(*), max(finished_at) FROM items INDEXED BY items_ended
WHERE queue = :queue AND state IN ('succeeded', 'dead') AND finished_at > :since GROUP BY state
"""


class Ended(msgspec.Struct, frozen=True):
    """Items that ended since an instant, and when the last one did; instants in epoch seconds."""

    succeeded: int
    dead: int
    last_at: float


def read_ended(database: Path, queue: str, since: float) -> Ended:
    """What has ended after `since`."""
    db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        db.set_busy_timeout(1_000)
        found: list[Any] = db.execute(_ENDED, {"queue": queue, "since": since}).fetchall()
    finally:
        db.close()
    counts = {state: number for state, number, _ in found}
    last_at = max((at for _, _, at in found), default=since)
    return Ended(counts.get("succeeded", 0), counts.get("dead", 0), last_at)


async def wait_ended(database: Path, queue: str, since: float, items: int, seconds: float) -> Ended:
    """The books once so many items have ended; raises `BenchFailed` after so many seconds.

    Also when any ended dead: then something else was measured than was meant.
    """
    ended = read_ended(database, queue, since)
    try:
        async with asyncio.timeout(seconds):
            while ended.succeeded + ended.dead < items:
                await asyncio.sleep(LOOK_SECONDS)
                ended = read_ended(database, queue, since)
    except TimeoutError:
        raise BenchFailed(f"{queue}: of {items} items {ended} after {seconds:g} s") from None
    if ended.dead:
        raise BenchFailed(f"{queue}: {ended.dead} of {items} items are dead")
    return ended
