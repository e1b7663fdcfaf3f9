"""Claims: due items leased in order, for claim calls and for the slots that settlements free.

Order is priority, due time, acceptance. One probe per priority walks a partial index and stops at
the limit, so an empty claim costs the same beside none and beside a million scheduled items.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tirelessd.core.item import Claim, Item, Lease
from tirelessd.core.trace import TraceContext
from tirelessd.store.base import Claimed, Settled
from tirelessd.store.operations import ClaimDue, Reclaim, Settle
from tirelessd.store.sqlite.transaction import Transaction, as_json

# CROSS JOIN keeps the order of the loops: priorities as listed, each walked in its index's order.
_PROBE: Final = """
FROM json_each('[9,8,7,6,5,4,3,2,1,0]') AS level
CROSS JOIN items INDEXED BY {index}{payloads}
WHERE items.queue = :queue AND items.priority = level.value
    AND items.state = 'queued' AND items.lost_leases {lost_leases}
    AND items.due_at <= :now AND items.deadline_at > :now
LIMIT :limit
"""
_COLUMNS: Final = """
items.row, items.id, items.queue, payloads.content, payloads.content_type,
    payloads.headers, items.priority, items.accepted_at, items.first_due_at, items.due_at,
    items.attempts, items.generation, items.deadline_seconds, items.lost_leases,
    payloads.traceparent, payloads.tracestate
"""
_PAYLOADS: Final = " CROSS JOIN payloads ON payloads.row = items.row"
FIND_FRESH: Final = f"SELECT {_COLUMNS}" + _PROBE.format(
    index="items_claim", lost_leases="= 0", payloads=_PAYLOADS
)
FIND_RECOVERED: Final = f"SELECT {_COLUMNS}" + _PROBE.format(
    index="items_recovered", lost_leases="> 0", payloads=_PAYLOADS
)
IS_READY: Final = "SELECT 1" + _PROBE.format(index="items_claim", lost_leases="= 0", payloads="")

_NEXT_DUE: Final = """
SELECT min((
    SELECT items.due_at FROM items INDEXED BY {index}
    WHERE items.queue = :queue AND items.priority = level.value
        AND items.state = 'queued' AND items.lost_leases {lost_leases} AND items.due_at > :now
    ORDER BY items.due_at LIMIT 1
)) FROM json_each('[9,8,7,6,5,4,3,2,1,0]') AS level
"""
NEXT_FRESH: Final = _NEXT_DUE.format(index="items_claim", lost_leases="= 0")
NEXT_RECOVERED: Final = _NEXT_DUE.format(index="items_recovered", lost_leases="> 0")

_LEASE: Final = """
UPDATE items NOT INDEXED
SET state = 'leased', attempts = attempts + 1, token = lease.value ->> 1, owner = :owner
FROM jsonb_each(:leases) AS lease
WHERE items.row = lease.value ->> 0 AND items.state = 'queued'
"""

_REDRIVEN: Final = """
SELECT redrives.row, redrives.traceparent FROM json_each(:rows) AS wanted
CROSS JOIN redrives ON redrives.row = wanted.value
"""
FIND_ORPHANED: Final = f"""
SELECT {_COLUMNS}
FROM items INDEXED BY items_leased {_PAYLOADS}
WHERE items.state = 'leased' AND items.queue > '' AND items.owner <> :owner LIMIT :limit
"""
FIND_FORGOTTEN: Final = f"""
SELECT {_COLUMNS}
FROM items INDEXED BY items_leased {_PAYLOADS}
WHERE items.state = 'leased' AND items.queue > ''
    AND items.token IN (SELECT token.value FROM json_each(:tokens) AS token)
"""
_TAKE_BACK: Final = """
UPDATE items NOT INDEXED SET token = lease.value ->> 1, owner = :owner
FROM jsonb_each(:leases) AS lease
WHERE items.row = lease.value ->> 0 AND items.state = 'leased'
"""
_TAKE_OVER: Final = """
UPDATE items NOT INDEXED SET token = lease.value ->> 1, owner = :owner
FROM jsonb_each(:leases) AS lease
WHERE items.row = lease.value ->> 0 AND items.state = 'leased' AND items.owner <> :owner
"""


def refill(tx: Transaction, operations: Sequence[Settle]) -> None:
    """Give each slot that a settlement of this commit frees its next item, if one is due."""
    freed: dict[str, list[tuple[list[Settled], int]]] = defaultdict(list)
    for operation in operations:
        answers = operation.outcome = list(operation.outcome or ())
        for index, settlement in enumerate(operation.settlements):
            if settlement.refill and answers[index].is_held:
                freed[settlement.lease.queue].append((answers, index))
    for queue, slots in freed.items():
        claims = _claim(tx, queue, len(slots), 0)
        for (answers, index), claim in zip(slots, claims, strict=False):
            answers[index] = Settled(is_held=True, refill=claim)


def claim(tx: Transaction, operations: Sequence[ClaimDue]) -> None:
    """Answer claim calls one after another, in the order they came."""
    for operation in operations:
        claims = _claim(tx, operation.queue, operation.limit, operation.recovered)
        is_short = len(claims) < operation.limit
        operation.outcome = Claimed(
            claims, _next_due_in_seconds(tx, operation) if is_short else None
        )


def reclaim(tx: Transaction, operations: Sequence[Reclaim]) -> None:
    """Take over leases that another start of the process holds; their attempts stay counted."""
    for operation in operations:
        found = tx.run(FIND_ORPHANED, limit=operation.limit)
        operation.outcome = _lease(tx, _TAKE_OVER, found, attempts=0)
        if operation.forgotten:
            tokens = as_json(lease.token for lease in operation.forgotten)
            lost = tx.run(FIND_FORGOTTEN, tokens=tokens)
            operation.outcome += _lease(tx, _TAKE_BACK, lost, attempts=0)


def _claim(tx: Transaction, queue: str, limit: int, recovered: int) -> list[Claim]:
    if queue in tx.paused or limit <= 0:
        return []
    found = tx.run(FIND_FRESH, queue=queue, limit=limit)
    if recovered > 0:
        found += tx.run(FIND_RECOVERED, queue=queue, limit=recovered)
        found.sort(key=_place)
    return _lease(tx, _LEASE, found[:limit], attempts=1)


def _place(found: Sequence[Any]) -> tuple[int, float, int]:
    """Where an item stands among those that are due."""
    row, due_at, priority = found[0], found[9], found[6]
    return -priority, due_at, row


def _lease(
    tx: Transaction, statement: str, found: Sequence[Sequence[Any]], attempts: int
) -> list[Claim]:
    """Put fresh tokens on these items, counting so many more attempts; in the same order."""
    if not found:
        return []
    tokens = tx.draw_tokens(len(found))
    rows = (row for row, *_ in found)
    tx.run(statement, leases=as_json(zip(rows, tokens, strict=True)))
    claims = [
        _as_claim(columns, token, tx.now, attempts)
        for columns, token in zip(found, tokens, strict=True)
    ]
    return _with_redrives(tx, claims)


def _with_redrives(tx: Transaction, claims: list[Claim]) -> list[Claim]:
    """The claims, those of items that were put back with the trace that it was done in."""
    rows = [claim.lease.row for claim in claims if claim.generation > 1]
    if not rows:
        return claims
    found = dict(tx.run(_REDRIVEN, rows=as_json(rows)))
    return [
        msgspec.structs.replace(claim, redriven=TraceContext(found[claim.lease.row]))
        if claim.lease.row in found
        else claim
        for claim in claims
    ]


def _as_claim(columns: Sequence[Any], token: int, now: float, attempts: int) -> Claim:
    (row, item_id, queue, payload, content_type, headers, priority, accepted_at, *times) = columns
    first_due_at, due_at, tried, generation, deadline_seconds, lost_leases, *trace = times
    traceparent, tracestate = trace
    allowed = msgspec.json.decode(headers) if headers else {}
    return Claim(
        Item(item_id, queue, payload, content_type, allowed, priority, accepted_at),
        Lease(item_id, queue, row, token),
        tried + attempts,
        generation,
        deadline_seconds,
        max(now - due_at, 0.0),
        max(now - first_due_at, 0.0),
        max(now - accepted_at, 0.0),
        lost_leases,
        TraceContext(traceparent, tracestate) if traceparent else None,
    )


def _next_due_in_seconds(tx: Transaction, operation: ClaimDue) -> float | None:
    if operation.queue in tx.paused:
        return None
    statements = (NEXT_FRESH, NEXT_RECOVERED) if operation.recovered else (NEXT_FRESH,)
    found = [tx.run(statement, queue=operation.queue)[0][0] for statement in statements]
    due = [due_at for due_at in found if due_at is not None]
    return min(due) - tx.now if due else None
