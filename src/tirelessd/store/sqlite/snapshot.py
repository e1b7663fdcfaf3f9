"""The snapshot: counts and ages of every queue, from index ranges, without a look at the rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import apsw

from tirelessd.core.item import ShownState, State
from tirelessd.store.base import QueueSnapshot, Snapshot
from tirelessd.store.sqlite.connection import pragma

_QUEUED: Final = """
SELECT
    count(*) FILTER (WHERE due_at <= :now),
    count(*) FILTER (WHERE due_at > :now AND attempts = 0),
    count(*) FILTER (WHERE due_at > :now AND attempts > 0),
    min(row) FILTER (WHERE due_at <= :now),
    min(row) FILTER (WHERE due_at > :now AND attempts = 0),
    min(row) FILTER (WHERE due_at > :now AND attempts > 0),
    min(due_at) FILTER (WHERE due_at <= :now AND deadline_at > :now)
FROM items INDEXED BY {index} WHERE queue = :queue AND state = 'queued' AND lost_leases {lost_leases}
"""
COUNT_FRESH: Final = _QUEUED.format(index="items_claim", lost_leases="= 0")
COUNT_RECOVERED: Final = _QUEUED.format(index="items_recovered", lost_leases="> 0")
COUNT_STATE: Final = """
SELECT count(*), min(row) FROM items INDEXED BY items_state WHERE state = :state AND queue = :queue
"""
# Each step seeks the next name, whatever the number of items between.
QUEUE_NAMES: Final = """
WITH RECURSIVE names (state, queue) AS (
    SELECT wanted.value, (
        SELECT min(queue) FROM items INDEXED BY items_state WHERE state = wanted.value
    ) FROM json_each(:states) AS wanted
    UNION ALL
    SELECT names.state, (
        SELECT min(items.queue) FROM items INDEXED BY items_state
        WHERE items.state = names.state AND items.queue > names.queue
    ) FROM names WHERE names.queue IS NOT NULL
)
SELECT DISTINCT queue FROM names WHERE queue IS NOT NULL
"""
_QUEUED_STATES: Final = (ShownState.READY, ShownState.SCHEDULED, ShownState.RETRYING)
_OTHER_STATES: Final = {
    State.LEASED: ShownState.RUNNING,
    State.SUCCEEDED: ShownState.SUCCEEDED,
    State.DEAD: ShownState.DEAD,
    State.CANCELLED: ShownState.CANCELLED,
}
_NOTHING: Final = QueueSnapshot({}, 0.0, {})


def snapshot(db: apsw.Connection, now: float, path: Path, queues: Sequence[str]) -> Snapshot:
    """All queues at one moment."""
    states = '["queued","leased","succeeded","dead","cancelled"]'
    stored = [name for (name,) in db.execute(QUEUE_NAMES, {"states": states})]
    found = {name: _queue(db, now, name) for name in {*stored, *queues}}
    return Snapshot(
        queues={name: found[name] for name in queues},
        unconfigured=_sum(found[name] for name in stored if name not in queues),
        size_bytes=pragma(db, "page_count") * pragma(db, "page_size"),
        free_bytes=_free_bytes(path),
        log_bytes=_log_bytes(path),
    )


def _queue(db: apsw.Connection, now: float, queue: str) -> QueueSnapshot:
    counts = dict.fromkeys(ShownState, 0)
    oldest: dict[ShownState, int] = {}
    due_at = [now]
    for sql in (COUNT_FRESH, COUNT_RECOVERED):
        found = db.execute(sql, {"now": now, "queue": queue}).fetchall()[0]
        due_at += [found[6]] if found[6] is not None else []
        for state, number, row in zip(_QUEUED_STATES, found[:3], found[3:6], strict=True):
            counts[state] += number
            if row is not None:
                oldest[state] = min(row, oldest.get(state, row))
    for stored, shown in _OTHER_STATES.items():
        number, row = db.execute(COUNT_STATE, {"state": stored, "queue": queue}).fetchall()[0]
        counts[shown] = number
        if row is not None:
            oldest[shown] = row
    ages = {state: _age(db, now, oldest.get(state)) for state in ShownState}
    return QueueSnapshot(counts, now - min(due_at), ages)


def _age(db: apsw.Connection, now: float, row: int | None) -> float:
    if row is None:
        return 0.0
    accepted_at: float = db.execute("SELECT accepted_at FROM items WHERE row = ?", (row,)).get
    return max(now - accepted_at, 0.0)


def _sum(parts: Iterable[QueueSnapshot]) -> QueueSnapshot:
    total = _NOTHING
    for part in parts:
        total = QueueSnapshot(
            {state: total.counts.get(state, 0) + number for state, number in part.counts.items()},
            max(total.ready_age_seconds, part.ready_age_seconds),
            {
                state: max(total.item_age_seconds.get(state, 0.0), age)
                for state, age in part.item_age_seconds.items()
            },
        )
    return total


def _free_bytes(path: Path) -> int:
    disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize


def _log_bytes(path: Path) -> int:
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0
