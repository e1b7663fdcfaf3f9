"""Reads: items with their history, pages of them, and bodies, each in one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from tirelessd.core.item import (
    AttemptRecord,
    Body,
    ItemRecord,
    Lease,
    Page,
    Selection,
    ShownState,
    State,
    shown_state,
)
from tirelessd.store.base import Changed, Pause
from tirelessd.store.cursors import Listed, ListedDead, encode
from tirelessd.store.sqlite.connection import rows
from tirelessd.store.sqlite.rare import find_few
from tirelessd.store.sqlite.transaction import as_json
from tirelessd.store.sqlite.upkeep import dead_statement

# How many items one read of a list looks at: some ten milliseconds.
STRETCH_ROWS: Final = 20_000

_RECORD: Final = """
SELECT items.row, items.id, items.queue, items.state, items.attempts, items.generation,
    items.priority, payloads.content_type, length(payloads.content), items.accepted_at,
    items.due_at, items.deadline_at, items.finished_at, items.dead_reason
FROM {source} CROSS JOIN payloads ON payloads.row = items.row
"""
_BY_ID: Final = _RECORD.format(source="items INDEXED BY items_id") + "WHERE items.id = :id"
_BY_ROWS: Final = _RECORD.format(
    source="json_each(:rows) AS wanted CROSS JOIN items ON items.row = wanted.value"
)
_HISTORY: Final = """
SELECT generation, attempt, reason, status, detail, duration_seconds, started_at
FROM failures WHERE row = :row ORDER BY generation, attempt
"""
_LAST_FAILURE: Final = """
SELECT generation, attempt, reason, status, detail, duration_seconds, started_at
FROM failures WHERE row = :row ORDER BY generation DESC, attempt DESC LIMIT 1
"""
_PAYLOAD: Final = """
SELECT payloads.content, payloads.content_type FROM items INDEXED BY items_id
CROSS JOIN payloads ON payloads.row = items.row WHERE items.id = :id
"""
_RESULT: Final = """
SELECT results.content, results.content_type FROM items INDEXED BY items_id
CROSS JOIN results ON results.row = items.row WHERE items.id = :id
"""
# Where a stretch of a queue's items ends that is short enough for one read.
_STRETCH: Final = """
SELECT max(row), count(*) FROM (
    SELECT row FROM items INDEXED BY items_queue
    WHERE queue = :queue AND row > :after ORDER BY row LIMIT :stretch
)
"""
_SHOWN: Final[dict[State | ShownState | None, str]] = {
    None: "true",
    ShownState.READY: "state = 'queued' AND due_at <= :now",
    ShownState.SCHEDULED: "state = 'queued' AND due_at > :now AND attempts = 0",
    ShownState.RETRYING: "state = 'queued' AND due_at > :now AND attempts > 0",
    ShownState.RUNNING: "state = 'leased'",
    **{state: f"state = '{state.value}'" for state in State},
}
LISTS: Final = {
    state: f"""
SELECT row FROM items INDEXED BY items_queue
WHERE queue = :queue AND row > :after AND row <= :last AND {condition}
ORDER BY row LIMIT :limit
"""
    for state, condition in _SHOWN.items()
}
_DEAD_FILTER: Final = (
    "AND (:queue IS NULL OR queue = :queue) AND (:reason IS NULL OR dead_reason = :reason)"
)
LIST_DEAD: Final = f"""
SELECT row, finished_at, id FROM items INDEXED BY items_dead
WHERE state = 'dead' AND (finished_at, id) > (:died_at, :id) {_DEAD_FILTER}
ORDER BY finished_at, id LIMIT :limit
"""

_LEASES: Final = """
SELECT id, queue, row, token FROM items INDEXED BY items_leased
WHERE state = 'leased' AND queue > ''
"""


def get(db: apsw.Connection, now: float, item_id: str) -> ItemRecord | None:
    """The item with all of its failures."""
    found = rows(db, _BY_ID, id=item_id)
    if not found:
        return None
    history = [AttemptRecord(*failure) for failure in rows(db, _HISTORY, row=found[0][0])]
    return _record(found[0], now, history[-1] if history else None, history)


def payload(db: apsw.Connection, item_id: str) -> Body | None:
    """The payload as it came."""
    return _body(rows(db, _PAYLOAD, id=item_id))


def result(db: apsw.Connection, item_id: str) -> Body | None:
    """What the handler answered."""
    return _body(rows(db, _RESULT, id=item_id))


def list_items(
    db: apsw.Connection,
    now: float,
    queue: str,
    state: State | ShownState | None,
    after: Listed,
    limit: int,
) -> tuple[Sequence[ItemRecord], Listed | None]:
    """Items in the order of acceptance, found within one stretch, and where to go on.

    There may be fewer than `limit` although more follow; None says that nothing follows.
    """
    [(last, scanned)] = rows(db, _STRETCH, queue=queue, after=after.row, stretch=STRETCH_ROWS)
    values = {"queue": queue, "after": after.row, "last": last, "now": now}
    found = [row for (row,) in rows(db, LISTS[state], **values, limit=limit + 1)]
    following = Listed(last) if scanned == STRETCH_ROWS else None
    if len(found) > limit:
        following = Listed(found[limit - 1])
    return _records(db, now, found[:limit]), following


def list_few(
    db: apsw.Connection,
    now: float,
    queue: str,
    state: State | ShownState,
    after: Listed,
    limit: int,
) -> Page | None:
    """A page of a state that few items are in; None when they are many, or nobody knows."""
    found = find_few(db, now, queue, state, after.row)
    if found is None:
        return None
    page, has_more = found[:limit], len(found) > limit
    return Page(_records(db, now, page), encode(Listed(page[-1])) if has_more else None)


def list_dead(
    db: apsw.Connection, now: float, selection: Selection, after: ListedDead, limit: int
) -> Page:
    """A page of dead letters in the order they died, each with its last error."""
    found = rows(
        db,
        LIST_DEAD,
        queue=selection.queue,
        reason=selection.reason,
        died_at=after.died_at,
        id=after.id,
        limit=limit + 1,
    )
    page, has_more = found[:limit], len(found) > limit
    following = encode(ListedDead(*page[-1][1:])) if has_more else None
    return Page(_records(db, now, [row for row, _, _ in page]), following)


def count_dead(db: apsw.Connection, selection: Selection, limit: int) -> Changed:
    """What a bulk call with this limit would change, and leave."""
    sql, values = dead_statement(selection)
    matches = f"SELECT queue, count(*) FROM ({sql}) GROUP BY queue"
    counts = dict(rows(db, matches, **values, limit=limit))
    [(total,)] = rows(db, f"SELECT count(*) FROM ({sql})", **values, limit=-1)
    return Changed(counts, total - sum(counts.values()))


def pauses(db: apsw.Connection, now: float) -> Sequence[Pause]:
    """The pauses in force."""
    found = rows(db, "SELECT queue, expires_at FROM pauses ORDER BY queue")
    return [
        Pause(queue, expires_at - now if expires_at is not None else None)
        for queue, expires_at in found
        if expires_at is None or expires_at > now
    ]


def _records(db: apsw.Connection, now: float, numbers: Sequence[int]) -> Sequence[ItemRecord]:
    return [
        _record(found, now, _last_failure(db, found[0]), ())
        for found in rows(db, _BY_ROWS, rows=as_json(numbers))
    ]


def _last_failure(db: apsw.Connection, row: int) -> AttemptRecord | None:
    found = rows(db, _LAST_FAILURE, row=row)
    return AttemptRecord(*found[0]) if found else None


def _record(
    found: Sequence[Any],
    now: float,
    last_error: AttemptRecord | None,
    history: Sequence[AttemptRecord],
) -> ItemRecord:
    (_, item_id, queue, state_text, attempts, generation, priority, content_type, payload_bytes,
     accepted_at, due_at, deadline_at, finished_at, dead_reason) = found  # fmt: skip
    state = State(state_text)
    return ItemRecord(
        id=item_id,
        queue=queue,
        state=state,
        shown_state=shown_state(state, is_due=due_at <= now, attempts=attempts),
        attempts=attempts,
        generation=generation,
        priority=priority,
        content_type=content_type,
        payload_bytes=payload_bytes,
        accepted_at=accepted_at,
        due_at=due_at,
        deadline_at=deadline_at,
        finished_at=finished_at,
        dead_reason=dead_reason,
        last_error=last_error,
        history=history,
    )


def _body(found: Sequence[Any]) -> Body | None:
    return Body(*found[0]) if found else None


def leases(db: apsw.Connection) -> Sequence[Lease]:
    """Every lease; there are never many more than slots."""
    return [Lease(*columns) for columns in rows(db, _LEASES)]
