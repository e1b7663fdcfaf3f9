"""Reads: items with their history, pages of them, and bodies, each in one snapshot."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import apsw
import msgspec

from tirelessd.core.errors import InvalidRequest
from tirelessd.core.item import (
    AttemptRecord,
    Body,
    ItemRecord,
    Page,
    Selection,
    ShownState,
    State,
    shown_state,
)
from tirelessd.store.base import Changed, Pause
from tirelessd.store.sqlite.transaction import as_json
from tirelessd.store.sqlite.upkeep import dead_statement

# One call looks at no more rows than this; a page may then be short, and say where to go on.
SCANNED_ROWS: Final = 20_000

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
_OF_STATE: Final = """
SELECT row, due_at, attempts FROM items INDEXED BY items_state
WHERE state = '{state}' AND queue = :queue AND row > :after
"""
LIST_ANY: Final = (
    " UNION ALL ".join(_OF_STATE.format(state=state.value) for state in State)
    + " ORDER BY row LIMIT :limit"
)
LIST_STATE: Final = {
    state: _OF_STATE.format(state=state.value) + "ORDER BY row LIMIT :limit" for state in State
}
_SHOWN_QUEUED: Final = (ShownState.READY, ShownState.SCHEDULED, ShownState.RETRYING)
_DEAD_FILTER: Final = (
    "AND (:queue IS NULL OR queue = :queue) AND (:reason IS NULL OR dead_reason = :reason)"
)
LIST_DEAD: Final = f"""
SELECT row, finished_at, id FROM items INDEXED BY items_dead
WHERE state = 'dead' AND (finished_at, id) > (:died_at, :id) {_DEAD_FILTER}
ORDER BY finished_at, id LIMIT :limit
"""


class Listed(msgspec.Struct, frozen=True, array_like=True, tag="items"):
    """Where a list of items goes on: after this row."""

    row: int = 0


class ListedDead(msgspec.Struct, frozen=True, array_like=True, tag="dead"):
    """Where a list of dead letters goes on: after the one that died then."""

    died_at: float = -1.0
    id: str = ""


Cursor = TypeVar("Cursor", Listed, ListedDead)


def cursor(after: str | None, kind: type[Cursor]) -> Cursor:
    """What `next_after` of a page stands for; raises `InvalidRequest` for any other text."""
    if after is None:
        return kind()
    try:
        text = urlsafe_b64decode(after.encode("ascii") + b"==")
        return msgspec.json.decode(text, type=kind)
    except ValueError:  # so are the errors of msgspec, of base64 and of the encoding
        raise InvalidRequest("after", "is no page's next_after of this list") from None


def get(db: apsw.Connection, now: float, item_id: str) -> ItemRecord | None:
    """The item with all of its failures."""
    found = db.execute(_BY_ID, {"id": item_id}).fetchone()
    if found is None:
        return None
    history = [AttemptRecord(*row) for row in db.execute(_HISTORY, {"row": found[0]})]
    return _record(found, now, history[-1] if history else None, history)


def payload(db: apsw.Connection, item_id: str) -> Body | None:
    """The payload as it came."""
    return _body(db.execute(_PAYLOAD, {"id": item_id}).fetchone())


def result(db: apsw.Connection, item_id: str) -> Body | None:
    """What the handler answered."""
    return _body(db.execute(_RESULT, {"id": item_id}).fetchone())


def list_items(
    db: apsw.Connection,
    now: float,
    queue: str,
    state: State | ShownState | None,
    after: Listed,
    limit: int,
) -> Page:
    """A page in the order of acceptance; words that are derived are looked for in bounded steps."""
    start = after.row
    if state in _SHOWN_QUEUED:
        rows, last = _scan_queued(db, now, queue, ShownState(state), start, limit)
    else:
        rows, last = _walk(db, queue, _stored(state), start, limit)
    return Page(_records(db, now, rows), _encode(Listed(last)) if last is not None else None)


def list_dead(
    db: apsw.Connection, now: float, selection: Selection, after: ListedDead, limit: int
) -> Page:
    """A page of dead letters in the order they died, each with its last error."""
    values = {"queue": selection.queue, "reason": selection.reason, "died_at": after.died_at}
    found = db.execute(LIST_DEAD, {**values, "id": after.id, "limit": limit + 1}).fetchall()
    page, has_more = found[:limit], len(found) > limit
    following = _encode(ListedDead(*page[-1][1:])) if has_more else None
    return Page(_records(db, now, [row for row, _, _ in page]), following)


def count_dead(db: apsw.Connection, selection: Selection, limit: int) -> Changed:
    """What a bulk call with this limit would change, and leave."""
    sql, values = dead_statement(selection)
    matches = f"SELECT queue, count(*) FROM ({sql}) GROUP BY queue"
    counts = dict(db.execute(matches, {**values, "limit": limit}).fetchall())
    total = db.execute(f"SELECT count(*) FROM ({sql})", {**values, "limit": -1}).get
    return Changed(counts, total - sum(counts.values()))


def pauses(db: apsw.Connection, now: float) -> Sequence[Pause]:
    """The pauses in force."""
    found = db.execute("SELECT queue, expires_at FROM pauses ORDER BY queue")
    return [
        Pause(queue, expires_at - now if expires_at is not None else None)
        for queue, expires_at in found
        if expires_at is None or expires_at > now
    ]


def _stored(state: State | ShownState | None) -> State | None:
    if state is None or isinstance(state, State):
        return state
    return State.LEASED if state is ShownState.RUNNING else State(state.value)


def _walk(
    db: apsw.Connection, queue: str, state: State | None, start: int, limit: int
) -> tuple[list[int], int | None]:
    sql = LIST_ANY if state is None else LIST_STATE[state]
    found = db.execute(sql, {"queue": queue, "after": start, "limit": limit + 1}).fetchall()
    rows = [row for row, _, _ in found[:limit]]
    return rows, rows[-1] if len(found) > limit else None


def _scan_queued(
    db: apsw.Connection, now: float, queue: str, shown: ShownState, start: int, limit: int
) -> tuple[list[int], int | None]:
    """Rows that are shown so, and where to go on: after the last one, or after all looked at."""
    values = {"queue": queue, "after": start, "limit": SCANNED_ROWS}
    rows: list[int] = []
    scanned, row = 0, start
    for row, due_at, attempts in db.execute(LIST_STATE[State.QUEUED], values):
        scanned += 1
        if shown_state(State.QUEUED, is_due=due_at <= now, attempts=attempts) is shown:
            rows.append(row)
            if len(rows) > limit:
                return rows[:limit], rows[limit - 1]
    return rows, row if scanned == SCANNED_ROWS else None


def _records(db: apsw.Connection, now: float, rows: Sequence[int]) -> Sequence[ItemRecord]:
    return [
        _record(found, now, _last_failure(db, found[0]), ())
        for found in db.execute(_BY_ROWS, {"rows": as_json(rows)}).fetchall()
    ]


def _last_failure(db: apsw.Connection, row: int) -> AttemptRecord | None:
    found = db.execute(_LAST_FAILURE, {"row": row}).fetchone()
    return AttemptRecord(*found) if found is not None else None


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


def _body(found: Sequence[Any] | None) -> Body | None:
    return Body(*found) if found is not None else None


def _encode(cursor: msgspec.Struct) -> str:
    return urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")
