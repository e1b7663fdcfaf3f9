"""The snapshot: counts and ages of every queue, from index ranges, without a look at the rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from tirelessd.core.item import ShownState, State
from tirelessd.store.base import QueueSnapshot, Snapshot
from tirelessd.store.sqlite.connection import pragma, rows

_LEVELS: Final = "json_each('[9,8,7,6,5,4,3,2,1,0]') AS level"
_INDEXES: Final = (("items_claim", "= 0"), ("items_recovered", "> 0"))
_COUNT_QUEUED: Final = """
SELECT '{shown}', count(*), min(items.row) FROM {levels} CROSS JOIN items INDEXED BY {index}
WHERE items.queue = :queue AND items.priority = level.value AND items.state = 'queued'
    AND items.lost_leases {lost_leases} AND items.due_at {condition}
"""
_QUEUED: Final = {
    ShownState.READY: "<= :now",
    ShownState.SCHEDULED: "> :now AND items.attempts = 0",
    ShownState.RETRYING: "> :now AND items.attempts > 0",
}
_COUNT_LEASED: Final = """
SELECT 'running', count(*), min(row) FROM items INDEXED BY items_leased
WHERE queue = :queue AND state = 'leased'
"""
_COUNT_ENDED: Final = """
SELECT '{state}', count(*), min(row) FROM items INDEXED BY items_ended
WHERE queue = :queue AND state = '{state}' AND finished_at IS NOT NULL
"""
# A row per shown state and index: how many, and the row of the one accepted first.
COUNTS: Final = " UNION ALL ".join(
    [
        *(
            _COUNT_QUEUED.format(
                shown=shown.value,
                levels=_LEVELS,
                index=index,
                lost_leases=lost_leases,
                condition=condition,
            )
            for index, lost_leases in _INDEXES
            for shown, condition in _QUEUED.items()
        ),
        _COUNT_LEASED,
        *(_COUNT_ENDED.format(state=state.value) for state in State if state.is_final),
    ]
)
_LONGEST_DUE: Final = """
(
    SELECT items.due_at FROM items INDEXED BY {index}
    WHERE items.queue = :queue AND items.priority = level.value AND items.state = 'queued'
        AND items.lost_leases {lost_leases} AND items.due_at <= :now AND items.deadline_at > :now
    ORDER BY items.due_at LIMIT 1
)
"""
LONGEST_DUE: Final = (
    f"SELECT min(coalesce({{}}, :now), coalesce({{}}, :now)) FROM {_LEVELS}".format(
        *(_LONGEST_DUE.format(index=index, lost_leases=each) for index, each in _INDEXES)
    )
)
# Each step seeks the next name, whatever the number of items between.
QUEUE_NAMES: Final = """
WITH RECURSIVE names (queue) AS (
    SELECT min(queue) FROM items INDEXED BY items_queue WHERE queue > ''
    UNION ALL
    SELECT (
        SELECT min(items.queue) FROM items INDEXED BY items_queue WHERE items.queue > names.queue
    )
    FROM names WHERE names.queue IS NOT NULL
)
SELECT queue FROM names WHERE queue IS NOT NULL
"""


def snapshot(db: apsw.Connection, now: float, path: Path, queues: Sequence[str]) -> Snapshot:
    """All queues at one moment."""
    stored = [name for (name,) in rows(db, QUEUE_NAMES)]
    # A queue without a row has nothing to be counted, and most of an idle daemon's queues are such.
    found = dict.fromkeys(queues, _sum(())) | {name: _queue(db, now, name) for name in stored}
    others = [name for name in stored if name not in queues]
    return Snapshot(
        queues={name: found[name] for name in queues},
        unconfigured=_sum([found[name] for name in others]),
        unconfigured_names=[name for name in others if _is_left(found[name])],
        size_bytes=pragma(db, "page_count") * pragma(db, "page_size"),
        free_bytes=_free_bytes(path),
        log_bytes=_log_bytes(path),
    )


def _queue(db: apsw.Connection, now: float, queue: str) -> QueueSnapshot:
    counts = dict.fromkeys(ShownState, 0)
    ages = dict.fromkeys(ShownState, 0.0)
    for word, number, oldest_row in rows(db, COUNTS, queue=queue, now=now):
        state = ShownState(word)
        counts[state] += number
        ages[state] = max(ages[state], _age(db, now, oldest_row))
    longest_due_at = min(due_at for (due_at,) in rows(db, LONGEST_DUE, queue=queue, now=now))
    return QueueSnapshot(counts, now - longest_due_at, ages)


def _age(db: apsw.Connection, now: float, row: int | None) -> float:
    found = rows(db, "SELECT accepted_at FROM items WHERE row = :row", row=row)
    return float(max(now - found[0][0], 0.0)) if found else 0.0


def _is_left(queue: QueueSnapshot) -> bool:
    return queue.unfinished > 0 or queue.counts[ShownState.DEAD] > 0


def _sum(parts: Sequence[QueueSnapshot]) -> QueueSnapshot:
    return QueueSnapshot(
        {state: sum(part.counts[state] for part in parts) for state in ShownState},
        max((part.ready_age_seconds for part in parts), default=0.0),
        {
            state: max((part.item_age_seconds[state] for part in parts), default=0.0)
            for state in ShownState
        },
    )


def _free_bytes(path: Path) -> int:
    disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize


def _log_bytes(path: Path) -> int:
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0
