"""What has outlived its retention: found by a reader, so that the writer only deletes."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import islice
from typing import Final

import apsw

from tirelessd.core.item import State
from tirelessd.core.queue import QueueConfig
from tirelessd.store.sqlite.connection import rows

OLDEST_ENDED: Final = """
SELECT finished_at, row FROM items INDEXED BY items_ended
WHERE queue = :queue AND state = :state AND finished_at <= :until
ORDER BY finished_at LIMIT :limit
"""
COUNT_ENDED: Final = """
SELECT count(*) FROM items INDEXED BY items_ended
WHERE queue = :queue AND finished_at IS NOT NULL
"""
# Row numbers are distinct, so there are at most so many items in all queues together.
MOST_ITEMS: Final = "SELECT (SELECT max(row) FROM items) - (SELECT min(row) FROM items) + 1"
_FOREVER: Final = 9e999


def find_old(
    db: apsw.Connection, now: float, queues: Sequence[QueueConfig], limit: int
) -> list[tuple[int, float]]:
    """Rows of ended items to purge, oldest end first, each with when it ended."""
    found = [old for queue in queues for old in _old_of_queue(db, now, queue, limit)]
    return [(row, ended_at) for ended_at, row in sorted(found)[:limit]]


def _old_of_queue(
    db: apsw.Connection, now: float, queue: QueueConfig, limit: int
) -> list[tuple[float, int]]:
    kept = queue.retention
    ages = {
        State.SUCCEEDED: kept.succeeded_seconds,
        State.CANCELLED: kept.cancelled_seconds,
        State.DEAD: kept.dead_seconds,
    }
    outlived = _oldest(db, queue.name, {s: now - seconds for s, seconds in ages.items()}, limit)
    too_many = _count_ended(db, queue.name, kept.items) - kept.items
    if too_many <= len(outlived):
        return outlived
    return _oldest(db, queue.name, dict.fromkeys(ages, _FOREVER), min(too_many, limit))


def _oldest(
    db: apsw.Connection, queue: str, until: dict[State, float], limit: int
) -> list[tuple[float, int]]:
    each = [
        rows(db, OLDEST_ENDED, queue=queue, state=state, until=at, limit=limit)
        for state, at in until.items()
    ]
    return list(islice(heapq.merge(*each), limit))


def _count_ended(db: apsw.Connection, queue: str, enough: int) -> int:
    """How many there are; 0 when a glance tells that there are not more than enough."""
    [(most,)] = rows(db, MOST_ITEMS)
    if (most or 0) <= enough:
        return 0
    [(count,)] = rows(db, COUNT_ENDED, queue=queue)
    return int(count)
