"""Claims: due items leased in order, for claim calls and for the slots that settlements free.

Order is priority, due time, acceptance. One probe per priority walks a partial index and stops at
the limit, so an empty claim costs the same beside none and beside a million scheduled items. An
item that another process is just claiming is passed over, never waited for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from asyncpg import Record

from tirelessd.core.item import Claim, Item, Lease
from tirelessd.core.trace import TraceContext
from tirelessd.store.base import Claimed, Settled
from tirelessd.store.operations import ClaimDue, Reclaim, Settle
from tirelessd.store.postgres.transaction import Transaction
from tirelessd.store.tokens import random_numbers

LEVELS: Final = "unnest(ARRAY[9,8,7,6,5,4,3,2,1,0]::smallint[]) AS level (priority)"
# No level at all while the queue is paused.
_OPEN_LEVELS: Final = """
unnest(CASE WHEN EXISTS (
    SELECT FROM pauses
    WHERE pauses.queue = $1 AND coalesce(pauses.expires_at, 'Infinity') > tirelessd_now()
) THEN ARRAY[]::smallint[] ELSE ARRAY[9,8,7,6,5,4,3,2,1,0]::smallint[] END) AS level (priority)
"""
_DUE: Final = """
FROM items WHERE items.queue = {queue} AND items.priority = level.priority
    AND items.state = 'queued' AND items.lost_leases {lost_leases}
    AND items.due_at <= tirelessd_now() AND items.deadline_at > tirelessd_now()
ORDER BY items.due_at, items.number
"""
IS_READY: Final = f"""
SELECT FROM {LEVELS}
CROSS JOIN LATERAL (SELECT {_DUE.format(queue="{queue}", lost_leases="= 0")} LIMIT 1) AS due
"""
# Locked one by one, as far as the limit, and no further.
_PROBE: Final = """
SELECT due.* FROM {levels} CROSS JOIN LATERAL (
    SELECT items.id, items.priority, items.due_at, items.number {due}
    LIMIT {limit} FOR UPDATE SKIP LOCKED
) AS due LIMIT {limit}
"""
_FRESH: Final = _PROBE.format(
    levels=_OPEN_LEVELS, due=_DUE.format(queue="$1", lost_leases="= 0"), limit="$2::bigint"
)
_RECOVERED: Final = _PROBE.format(
    levels=_OPEN_LEVELS, due=_DUE.format(queue="$1", lost_leases="> 0"), limit="$3::bigint"
)
_CLAIMED: Final = """
items.token, items.number, items.id::text, items.queue, payloads.content, payloads.content_type,
    payloads.headers, items.priority, items.accepted_at, items.first_due_at, items.due_at,
    items.attempts, items.generation, items.deadline_seconds, items.lost_leases,
    payloads.traceparent, payloads.tracestate, redrives.traceparent AS redriven,
    tirelessd_now() AS now
"""
_WITH_BODIES: Final = """
CROSS JOIN LATERAL (SELECT * FROM payloads WHERE payloads.id = chosen.id LIMIT 1) AS payloads
LEFT JOIN LATERAL (
    SELECT * FROM redrives WHERE redrives.id = chosen.id LIMIT 1
) AS redrives ON true
WHERE items.id = ANY (ARRAY(SELECT id FROM chosen)) AND items.id = chosen.id
"""
CLAIM: Final = f"""
WITH due AS MATERIALIZED (
    (SELECT * FROM ({_FRESH}) AS fresh) UNION ALL (SELECT * FROM ({_RECOVERED}) AS recovered)
), chosen AS MATERIALIZED (
    SELECT id, row_number() OVER () AS place
    FROM (SELECT id FROM due ORDER BY priority DESC, due_at, number LIMIT $2) AS first
)
UPDATE items SET state = 'leased', attempts = items.attempts + 1,
    token = ($4::bigint[])[chosen.place], owner = $5, leased_until = tirelessd_now() + $6::float8
FROM chosen {_WITH_BODIES}
RETURNING {_CLAIMED}
"""
_NEXT: Final = """
SELECT min(next.due_at) AS due_at FROM {levels} CROSS JOIN LATERAL (
    SELECT items.due_at FROM items
    WHERE items.queue = $1 AND items.priority = level.priority AND items.state = 'queued'
        AND items.lost_leases {lost_leases} AND items.due_at > tirelessd_now()
    ORDER BY items.due_at LIMIT 1
) AS next
"""
_NEXT_FRESH: Final = _NEXT.format(levels=_OPEN_LEVELS, lost_leases="= 0")
_NEXT_RECOVERED: Final = _NEXT.format(levels=_OPEN_LEVELS, lost_leases="> 0")
NEXT_DUE: Final = f"""
SELECT least(({_NEXT_FRESH}), CASE WHEN $2 THEN ({_NEXT_RECOVERED}) END) - tirelessd_now()
"""
# Of every queue there is, whoever it belongs to, and one's own only if they are named.
_EXPIRED: Final = """
SELECT items.id FROM items
WHERE items.token = ANY ($1::bigint[]) AND items.owner <> $3
    AND items.leased_until <= tirelessd_now()
FOR UPDATE SKIP LOCKED
"""
_FORGOTTEN: Final = """
SELECT items.id FROM items
WHERE items.token = ANY ($1::bigint[]) AND items.owner = $3
FOR UPDATE SKIP LOCKED
"""
_TAKE_OVER: Final = """
WITH lost AS MATERIALIZED ({lost}), chosen AS MATERIALIZED (
    SELECT *, row_number() OVER () AS place FROM lost
)
UPDATE items SET token = ($2::bigint[])[chosen.place], owner = $3,
    leased_until = tirelessd_now() + $4::float8
FROM chosen {bodies}
RETURNING {claimed}
"""
TAKE_OVER: Final = _TAKE_OVER.format(lost=_EXPIRED, bodies=_WITH_BODIES, claimed=_CLAIMED)
TAKE_BACK: Final = _TAKE_OVER.format(lost=_FORGOTTEN, bodies=_WITH_BODIES, claimed=_CLAIMED)


async def refill(tx: Transaction, operations: Sequence[Settle]) -> None:
    """Give each slot that a settlement of this commit frees its next item, if one is due.

    What there is not time for is left to claim calls, for which the slot is as free.
    """
    freed: dict[tuple[str, float], list[tuple[list[Settled], int]]] = defaultdict(list)
    for operation in operations:
        answers = operation.outcome = list(operation.outcome or ())
        for index, settlement in enumerate(operation.settlements):
            if settlement.refill and answers[index].is_held:
                queue = settlement.lease.queue
                freed[queue, operation.lease_seconds].append((answers, index))
    for (queue, lease_seconds), slots in sorted(
        freed.items(), key=lambda each: tx.turns.place(each[0][0])
    ):
        if not tx.may_claim(queue):
            return
        claims = await _claim(tx, ClaimDue(queue, len(slots), 0, lease_seconds))
        for (answers, index), claim in zip(slots, claims, strict=False):
            answers[index] = Settled(is_held=True, refill=claim)


async def claim(tx: Transaction, operations: Sequence[ClaimDue]) -> None:
    """Answer claim calls one after another; whoever there is not time for comes again at once."""
    for operation in sorted(operations, key=lambda each: tx.turns.place(each.queue)):
        if not tx.may_claim(operation.queue):
            operation.outcome = Claimed((), 0.0)
            continue
        claims = await _claim(tx, operation)
        due_in_seconds: float | None = None
        if len(claims) < operation.limit:
            # Not in the same statement: a full claim, the usual one under load, has no use for it.
            [(due_in_seconds,)] = await tx.read(NEXT_DUE, operation.queue, operation.recovered > 0)
        operation.outcome = Claimed(claims, due_in_seconds)


async def reclaim(tx: Transaction, operations: Sequence[Reclaim]) -> None:
    """Take over expired leases of others; their attempts stay counted."""
    for operation in operations:
        forgotten = [lease.token for lease in operation.forgotten]
        found = await _take(tx, TAKE_OVER, operation.expired, operation)
        operation.outcome = found + await _take(tx, TAKE_BACK, forgotten, operation)


async def _take(
    tx: Transaction, sql: str, tokens: Sequence[int], operation: Reclaim
) -> list[Claim]:
    if not tokens:
        return []
    # Not among those that are undone where the commit's fate is unknown, for the lost attempts must
    # stay counted: such leases are this process's own then, and it finds them by itself.
    fresh = random_numbers(len(tokens))
    found = await tx.write(sql, tokens, fresh, tx.owner, operation.lease_seconds)
    return [_as_claim(row) for row in found]


async def _claim(tx: Transaction, asked: ClaimDue) -> list[Claim]:
    if asked.limit <= 0:
        return []
    tokens = tx.draw_tokens(asked.limit)
    found = await tx.write(
        CLAIM, asked.queue, asked.limit, asked.recovered, tokens, tx.owner, asked.lease_seconds
    )
    return [_as_claim(row) for row in sorted(found, key=_place)]


def _place(found: Record) -> tuple[int, float, int]:
    """Where an item stands among those that are due."""
    return -found["priority"], found["due_at"], found["number"]


def _as_claim(columns: Record) -> Claim:
    (token, row, item_id, queue, payload, content_type, headers, priority, *rest) = columns
    accepted_at, first_due_at, due_at, attempts, generation, *more = rest
    deadline_seconds, lost_leases, traceparent, tracestate, redriven, now = more
    allowed: dict[str, Any] = msgspec.json.decode(headers) if headers else {}
    return Claim(
        Item(item_id, queue, payload, content_type, allowed, priority, accepted_at),
        Lease(item_id, queue, row, token),
        attempts,
        generation,
        deadline_seconds,
        max(now - due_at, 0.0),
        max(now - first_due_at, 0.0),
        max(now - accepted_at, 0.0),
        lost_leases,
        TraceContext(traceparent, tracestate) if traceparent else None,
        TraceContext(redriven) if redriven else None,
    )
