"""The snapshot: counts and ages of every queue, from index ranges, without a look at the rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from tirelessd.core.item import ShownState, State
from tirelessd.store.base import QueueSnapshot, Snapshot
from tirelessd.store.sqlite.connection import pragma, rows

_QUEUED: Final = """
SELECT
    min(due_at) FILTER (WHERE due_at <= :now AND deadline_at > :now),
    count(*) FILTER (WHERE due_at <= :now),
    count(*) FILTER (WHERE due_at > :now AND attempts = 0),
    count(*) FILTER (WHERE due_at > :now AND attempts > 0),
    min(row) FILTER (WHERE due_at <= :now),
    min(row) FILTER (WHERE due_at > :now AND attempts = 0),
    min(row) FILTER (WHERE due_at > :now AND attempts > 0)
FROM items INDEXED BY {index}
WHERE queue = :queue AND state = 'queued' AND lost_leases {lost_leases}
"""
COUNT_FRESH: Final = _QUEUED.format(index="items_claim", lost_leases="= 0")
COUNT_RECOVERED: Final = _QUEUED.format(index="items_recovered", lost_leases="> 0")
_COUNT_ENDED: Final = """
UNION ALL SELECT '{state}', count(*), min(row) FROM items INDEXED BY items_ended
WHERE queue = :queue AND state = '{state}' AND finished_at IS NOT NULL
"""
COUNT_OTHERS: Final = """
SELECT 'running', count(*), min(row) FROM items INDEXED BY items_leased
WHERE queue = :queue AND state = 'leased'
""" + "".join(_COUNT_ENDED.format(state=state.value) for state in State if state.is_final)
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
_QUEUED_STATES: Final = (ShownState.READY, ShownState.SCHEDULED, ShownState.RETRYING)


def snapshot(db: apsw.Connection, now: float, path: Path, queues: Sequence[str]) -> Snapshot:
    """All queues at one moment."""
    stored = [name for (name,) in rows(db, QUEUE_NAMES)]
    found = {name: _queue(db, now, name) for name in {*stored, *queues}}
    return Snapshot(
        queues={name: found[name] for name in queues},
        unconfigured=_sum([found[name] for name in stored if name not in queues]),
        size_bytes=pragma(db, "page_count") * pragma(db, "page_size"),
        free_bytes=_free_bytes(path),
        log_bytes=_log_bytes(path),
    )


def _queue(db: apsw.Connection, now: float, queue: str) -> QueueSnapshot:
    counts: Counter[ShownState] = Counter(dict.fromkeys(ShownState, 0))
    ages = dict.fromkeys(ShownState, 0.0)
    ready_age = 0.0
    others = rows(db, COUNT_OTHERS, queue=queue)
    for sql in (COUNT_FRESH, COUNT_RECOVERED):
        [(longest_due_at, *found)] = rows(db, sql, now=now, queue=queue)
        ready_age = max(ready_age, now - (longest_due_at or now))
        others += zip(_QUEUED_STATES, found[:3], found[3:], strict=True)
    for state, number, oldest_row in others:
        counts[ShownState(state)] += number
        ages[ShownState(state)] = max(ages[ShownState(state)], _age(db, now, oldest_row))
    return QueueSnapshot(counts, ready_age, ages)


def _age(db: apsw.Connection, now: float, row: int | None) -> float:
    found = rows(db, "SELECT accepted_at FROM items WHERE row = :row", row=row)
    return float(max(now - found[0][0], 0.0)) if found else 0.0


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
