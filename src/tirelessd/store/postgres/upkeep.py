"""Writes apart from any attempt: cancel, expire, redrive, delete, purge, pause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tirelessd.core.item import Selection, State
from tirelessd.core.queue import QueueConfig
from tirelessd.store.base import Cancelled, Expired
from tirelessd.store.commit import Operation
from tirelessd.store.operations import (
    Cancel,
    ChangeDead,
    ChangePause,
    DeleteDead,
    Expire,
    Redrive,
    last_failure,
)
from tirelessd.store.postgres.rows import canonical
from tirelessd.store.postgres.transaction import Transaction

# One by one in the order of ids: two processes that cancel the same items never wait crosswise.
CANCEL: Final = """
WITH wanted AS MATERIALIZED (
    SELECT items.id, items.state FROM items WHERE items.id = ANY ($1::uuid[])
    ORDER BY items.id FOR UPDATE
), changed AS (
    UPDATE items SET state = 'cancelled', finished_at = tirelessd_now()
    FROM wanted WHERE items.id = ANY ($1::uuid[]) AND items.id = wanted.id
        AND wanted.state = 'queued'
    RETURNING items.id
)
SELECT items.id::text, items.queue, wanted.state, items.attempts,
    items.id IN (SELECT id FROM changed) AS is_changed
FROM wanted JOIN items ON items.id = wanted.id WHERE items.id = ANY ($1::uuid[])
"""
EXPIRE: Final = """
WITH overdue AS MATERIALIZED (
    SELECT id FROM items
    WHERE owner IS NULL AND finished_at IS NULL AND deadline_at <= tirelessd_now()
    ORDER BY deadline_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE items SET state = 'dead', dead_reason = 'expired', finished_at = tirelessd_now()
FROM overdue
WHERE items.id = ANY (ARRAY(SELECT id FROM overdue)) AND items.id = overdue.id
RETURNING items.id::text, items.queue, items.attempts, tirelessd_now() - items.accepted_at, (
    SELECT json_build_object('reason', reason, 'detail', detail, 'status', status)::text
    FROM failures WHERE failures.id = items.id ORDER BY generation DESC, attempt DESC LIMIT 1
)
"""
_MATCHES: Final = """
AND ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR dead_reason = $2)
"""
DEAD_BY_ID: Final = f"""
SELECT id, queue FROM items
WHERE id = ANY ($3::uuid[]) AND state = 'dead' {_MATCHES} LIMIT $4
"""
DEAD_IN_ORDER: Final = f"""
SELECT id, queue FROM items
WHERE dead_reason IS NOT NULL AND $3::uuid[] IS NULL {_MATCHES} ORDER BY finished_at, id LIMIT $4
"""
_REDRIVE: Final = """
WITH wanted AS MATERIALIZED ({wanted} FOR UPDATE SKIP LOCKED), former AS (
    DELETE FROM redrives
    WHERE redrives.id = ANY (ARRAY(SELECT id FROM wanted)) AND $5::text IS NULL
), traced AS (
    INSERT INTO redrives (id, traceparent) SELECT id, $5 FROM wanted WHERE $5::text IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET traceparent = excluded.traceparent
)
UPDATE items SET state = 'queued', generation = generation + 1, attempts = 0, lost_leases = 0,
    first_due_at = tirelessd_now(), due_at = tirelessd_now(),
    deadline_at = tirelessd_now() + deadline_seconds, finished_at = NULL, dead_reason = NULL
WHERE items.id = ANY (ARRAY(SELECT id FROM wanted))
RETURNING items.queue
"""
REDRIVE_BY_ID: Final = _REDRIVE.format(wanted=DEAD_BY_ID)
REDRIVE_IN_ORDER: Final = _REDRIVE.format(wanted=DEAD_IN_ORDER)
_DELETE: Final = """
WITH wanted AS MATERIALIZED ({wanted} FOR UPDATE SKIP LOCKED),
bodies AS (DELETE FROM payloads WHERE id = ANY (ARRAY(SELECT id FROM wanted))),
answers AS (DELETE FROM results WHERE id = ANY (ARRAY(SELECT id FROM wanted))),
history AS (DELETE FROM failures WHERE id = ANY (ARRAY(SELECT id FROM wanted))),
traced AS (DELETE FROM redrives WHERE id = ANY (ARRAY(SELECT id FROM wanted)))
DELETE FROM items WHERE id = ANY (ARRAY(SELECT id FROM wanted))
RETURNING items.queue, items.state
"""
DELETE_BY_ID: Final = _DELETE.format(wanted=DEAD_BY_ID)
DELETE_IN_ORDER: Final = _DELETE.format(wanted=DEAD_IN_ORDER)
# A queue's ends, each state with the moment until which it is old.
OLD: Final = """
SELECT items.id FROM items
WHERE items.id = ANY (ARRAY(
    SELECT ended.id FROM unnest($1::text[], $2::text[], $3::float8[])
        AS kept (queue, state, seconds)
    CROSS JOIN LATERAL (
        SELECT items.id, items.finished_at FROM items
        WHERE items.queue = kept.queue AND items.state = kept.state
            AND items.finished_at <= tirelessd_now() - kept.seconds
        ORDER BY items.finished_at LIMIT $4
    ) AS ended ORDER BY ended.finished_at LIMIT $4
)) AND items.state = ANY ($2::text[])
    -- Looked at again when the row is locked: one that was redriven meanwhile, and has died again
    -- since the statement began, is not old.
    AND items.finished_at <= tirelessd_now()
        - (SELECT min(given.seconds) FROM unnest($3::float8[]) AS given (seconds))
"""
PURGE: Final = _DELETE.format(wanted=OLD)
# How many ended items a queue has; 0 when a glance tells that they are not more than enough, for
# numbers are distinct.
COUNT_ENDED: Final = """
SELECT CASE WHEN
    (SELECT number FROM items WHERE queue COLLATE "C" = $1 ORDER BY number DESC LIMIT 1)
    - (SELECT number FROM items WHERE queue COLLATE "C" = $1 ORDER BY number LIMIT 1) >= $2
THEN (SELECT count(*) FROM items WHERE queue = $1 AND finished_at IS NOT NULL) ELSE 0 END
"""
DELETE_KEYS: Final = """
WITH old AS MATERIALIZED (
    SELECT queue, key FROM idempotency_keys WHERE expires_at <= tirelessd_now()
    ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys AS known USING old
WHERE known.queue = ANY (ARRAY(SELECT queue FROM old))
    AND known.key = ANY (ARRAY(SELECT key FROM old))
    AND known.queue = old.queue AND known.key = old.key
RETURNING 1
"""
# The marks of processes that are gone: none that lives is idle for a week.
DELETE_MARKS: Final = """
DELETE FROM commits WHERE owner = ANY (ARRAY(
    SELECT owner FROM commits WHERE committed_at < tirelessd_now() - 604800 LIMIT $1
)) AND committed_at < tirelessd_now() - 604800
RETURNING 1
"""
PAUSE: Final = """
INSERT INTO pauses (queue, expires_at) VALUES ($1, tirelessd_now() + $2::float8)
ON CONFLICT (queue) DO UPDATE SET expires_at = excluded.expires_at RETURNING 1
"""
RESUME: Final = "DELETE FROM pauses WHERE queue = $1 RETURNING 1"


class Purge(Operation[Mapping[str, int]]):
    """Ended items of queues, and keys, to be deleted once they are old: up to `limit` of each."""

    verb = "purge"

    def __init__(self, queues: Sequence[QueueConfig], limit: int) -> None:
        super().__init__()
        self.queues = queues
        self.limit = limit
        self.rows = limit


async def cancel(tx: Transaction, operations: Sequence[Cancel]) -> None:
    """Cancel what is queued; the first of several calls for one item did it."""
    wanted = sorted({operation.item_id for operation in operations})
    ids = [item_id for item_id in wanted if canonical(item_id)]
    found = {item_id: rest for item_id, *rest in (await tx.write(CANCEL, ids) if ids else ())}
    for operation in operations:
        queue, state, attempts, is_changed = found.get(operation.item_id, ("", None, 0, False))
        known = State(state) if state is not None else None
        if is_changed:
            known = State.CANCELLED
            # Whoever comes next in this commit finds it cancelled.
            found[operation.item_id] = [queue, known, attempts, False]
        operation.outcome = Cancelled(known, queue, is_changed, attempts)


async def expire(tx: Transaction, operations: Sequence[Expire]) -> None:
    """End what waited past its deadline, the longest overdue first."""
    for operation in operations:
        operation.outcome = [
            Expired(item_id, queue, attempts, max(age_seconds, 0.0), last_failure(last))
            for item_id, queue, attempts, age_seconds, last in await tx.write(
                EXPIRE, operation.limit
            )
        ]


async def redrive(tx: Transaction, operations: Sequence[Redrive]) -> None:
    """Put dead letters back, in the order they died."""
    for operation in operations:
        trace = operation.trace.traceparent if operation.trace is not None else None
        sql = REDRIVE_IN_ORDER if operation.selection.ids is None else REDRIVE_BY_ID
        await _change(tx, sql, operation, trace)


async def delete_dead(tx: Transaction, operations: Sequence[DeleteDead]) -> None:
    """Delete dead letters, in the order they died."""
    for operation in operations:
        sql = DELETE_IN_ORDER if operation.selection.ids is None else DELETE_BY_ID
        await _change(tx, sql, operation)


async def _change(tx: Transaction, sql: str, operation: ChangeDead, *more: Any) -> None:
    found = await tx.write(sql, *selected(operation.selection), operation.limit, *more)
    operation.outcome = Counter(row["queue"] for row in found)


def selected(selection: Selection) -> tuple[Any, ...]:
    """A selection as its statements take it; what is no id is nobody's."""
    ids = selection.ids
    known = None if ids is None else [item_id for item_id in ids if canonical(item_id)]
    return selection.queue, selection.reason, known


async def purge(tx: Transaction, operations: Sequence[Purge]) -> None:
    """Delete what has outlived its retention or is too much, and old keys."""
    for operation in operations:
        counts: Counter[str] = Counter()
        found = await tx.write(PURGE, *_retention(operation.queues), operation.limit)
        for queue in operation.queues:
            too_many = await _too_many(tx, queue)
            most = min(too_many, operation.limit - len(found))
            if most > 0:
                found += await tx.write(PURGE, *_retention([queue], always=True), most)
        counts.update(row["queue"] if row["state"] == State.DEAD else "" for row in found)
        counts[""] += len(await tx.write(DELETE_KEYS, operation.limit))
        await tx.write(DELETE_MARKS, operation.limit)
        operation.outcome = counts


async def _too_many(tx: Transaction, queue: QueueConfig) -> int:
    """How many ended items there are beyond what may be kept."""
    kept = queue.retention.items
    [(count,)] = await tx.read(COUNT_ENDED, queue.name, kept)
    return int(count) - kept


def _retention(
    queues: Sequence[QueueConfig], *, always: bool = False
) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """Queue, state and seconds of everything that ends; no seconds at all with `always`."""
    kept = [
        (queue.name, state.value, 0.0 if always else seconds)
        for queue in queues
        for state, seconds in (
            (State.SUCCEEDED, queue.retention.succeeded_seconds),
            (State.CANCELLED, queue.retention.cancelled_seconds),
            (State.DEAD, queue.retention.dead_seconds),
        )
    ]
    names, states, seconds = zip(*kept, strict=True) if kept else ((), (), ())
    return names, states, seconds


async def change_pauses(tx: Transaction, operations: Sequence[ChangePause]) -> None:
    """Apply pauses and resumes in the order they came."""
    for operation in operations:
        if operation.is_paused:
            await tx.write(PAUSE, operation.queue, operation.seconds)
        else:
            await tx.write(RESUME, operation.queue)
