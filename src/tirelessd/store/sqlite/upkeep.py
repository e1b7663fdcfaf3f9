"""Writes apart from any attempt: cancel, expire, redrive, delete, purge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from tirelessd.core.item import Selection, State
from tirelessd.store.base import Cancelled, Expired
from tirelessd.store.commit import Operation
from tirelessd.store.operations import Cancel, ChangeDead, DeleteDead, Expire, Redrive, last_failure
from tirelessd.store.sqlite.transaction import Transaction, as_json

_CANCEL: Final = """
UPDATE items INDEXED BY items_id SET state = 'cancelled', finished_at = :now
WHERE id IN (SELECT value FROM json_each(:ids)) AND state = 'queued'
RETURNING id
"""
_STATES: Final = """
SELECT items.id, items.queue, items.state, items.attempts FROM json_each(:ids) AS wanted
CROSS JOIN items INDEXED BY items_id ON items.id = wanted.value
"""
EXPIRE: Final = """
UPDATE items SET state = 'dead', dead_reason = 'expired', finished_at = :now
WHERE row IN (
    SELECT row FROM items INDEXED BY items_deadline
    WHERE state = 'queued' AND deadline_at <= :now ORDER BY deadline_at LIMIT :limit
)
RETURNING id, queue, attempts, accepted_at, (
    SELECT json_object('reason', reason, 'detail', detail, 'status', status) FROM failures
    WHERE failures.row = items.row ORDER BY generation DESC, attempt DESC LIMIT 1
)
"""
_MATCHES: Final = """
AND (:queue IS NULL OR queue = :queue) AND (:reason IS NULL OR dead_reason = :reason)
"""
DEAD_BY_ID: Final = f"""
SELECT row, queue FROM json_each(:ids) AS wanted
CROSS JOIN items INDEXED BY items_id ON items.id = wanted.value
WHERE state = 'dead' {_MATCHES} LIMIT :limit
"""
DEAD_IN_ORDER: Final = f"""
SELECT row, queue FROM items INDEXED BY items_dead
WHERE state = 'dead' AND finished_at > 0 {_MATCHES} ORDER BY finished_at, id LIMIT :limit
"""
_REDRIVE: Final = """
UPDATE items SET state = 'queued', generation = generation + 1, attempts = 0, lost_leases = 0,
    first_due_at = :now, due_at = :now, deadline_at = :now + deadline_seconds,
    finished_at = NULL, dead_reason = NULL
WHERE row IN (SELECT value FROM json_each(:rows)) AND state = 'dead'
"""
_KEEP_TRACE: Final = """
INSERT INTO redrives (row, traceparent) SELECT value, :traceparent FROM json_each(:rows)
"""
_DELETE: Final = """
DELETE FROM {table} WHERE row IN (SELECT value FROM json_each(:rows))
"""
_TABLES: Final = ("items", "payloads", "results", "failures", "redrives")
_DELETE_KEYS: Final = """
DELETE FROM idempotency_keys WHERE (queue, key) IN (
    SELECT queue, key FROM idempotency_keys INDEXED BY idempotency_keys_expiry
    WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
) RETURNING 1
"""
# A millisecond's grace: the instants went through JSON. A redriven item died much later.
_STILL_ENDED: Final = """
SELECT items.row, items.queue, items.state FROM json_each(:rows) AS wanted
CROSS JOIN items ON items.row = wanted.value ->> 0
WHERE items.finished_at < wanted.value ->> 1 + 0.001
"""


class Purge(Operation[Mapping[str, int]]):
    """Rows of ended items to be deleted, each with when it ended, and so many old keys."""

    verb = "purge"

    def __init__(self, ended: Sequence[tuple[int, float]], keys: int) -> None:
        super().__init__()
        self.ended = ended
        self.keys = keys
        self.rows = len(ended) + keys


def cancel(tx: Transaction, operations: Sequence[Cancel]) -> None:
    """Cancel what is queued; the first of several calls for one item did it."""
    ids = as_json({operation.item_id for operation in operations})
    changed = {item_id for (item_id,) in tx.run(_CANCEL, ids=ids)}
    found = {item_id: rest for item_id, *rest in tx.run(_STATES, ids=ids)}
    for operation in operations:
        queue, state, attempts = found.get(operation.item_id, ("", None, 0))
        is_changed = operation.item_id in changed
        known = State(state) if state is not None else None
        operation.outcome = Cancelled(known, queue, is_changed, attempts)
        changed.discard(operation.item_id)


def expire(tx: Transaction, operations: Sequence[Expire]) -> None:
    """End what waited past its deadline, the longest overdue first."""
    for operation in operations:
        operation.outcome = [
            Expired(item_id, queue, attempts, max(tx.now - accepted_at, 0.0), last_failure(last))
            for item_id, queue, attempts, accepted_at, last in tx.run(EXPIRE, limit=operation.limit)
        ]


def redrive(tx: Transaction, operations: Sequence[Redrive]) -> None:
    """Put dead letters back, in the order they died."""
    for operation in operations:
        found, operation.outcome = _find_dead(tx, operation)
        rows = as_json(found)
        tx.run(_REDRIVE, rows=rows)
        tx.run(_DELETE.format(table="redrives"), rows=rows)
        if operation.trace is not None:
            tx.run(_KEEP_TRACE, rows=rows, traceparent=operation.trace.traceparent)


def delete_dead(tx: Transaction, operations: Sequence[DeleteDead]) -> None:
    """Delete dead letters, in the order they died."""
    for operation in operations:
        rows, operation.outcome = _find_dead(tx, operation)
        _delete(tx, rows)


def purge(tx: Transaction, operations: Sequence[Purge]) -> None:
    """Delete what a reader found to be old, unless it has been redriven since, and old keys."""
    for operation in operations:
        found = tx.run(_STILL_ENDED, rows=as_json(operation.ended)) if operation.ended else []
        counts = Counter(queue if state == State.DEAD else "" for _, queue, state in found)
        _delete(tx, [row for row, _, _ in found])
        counts[""] += len(tx.run(_DELETE_KEYS, limit=operation.keys))
        operation.outcome = counts


def dead_statement(selection: Selection) -> tuple[str, dict[str, object]]:
    """The statement that finds the rows and queues of the dead letters meant, and its values."""
    values: dict[str, object] = {"queue": selection.queue, "reason": selection.reason}
    if selection.ids is None:
        return DEAD_IN_ORDER, values
    return DEAD_BY_ID, {**values, "ids": as_json(dict.fromkeys(selection.ids))}


def _find_dead(tx: Transaction, operation: ChangeDead) -> tuple[list[int], Mapping[str, int]]:
    sql, values = dead_statement(operation.selection)
    found = tx.run(sql, **values, limit=operation.limit)
    return [row for row, _ in found], Counter(queue for _, queue in found)


def _delete(tx: Transaction, rows: Sequence[int]) -> None:
    if rows:
        for table in _TABLES:
            tx.run(_DELETE.format(table=table), rows=as_json(rows))
