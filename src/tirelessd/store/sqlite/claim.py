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
from tirelessd.store.base import Claimed, Settled
from tirelessd.store.commit import Operation
from tirelessd.store.sqlite.settle import Settle
from tirelessd.store.sqlite.transaction import Transaction, as_json

# CROSS JOIN keeps the order of the loops: priorities as listed, each walked in its index's order.
_PROBE: Final = """
FROM json_each('[9,8,7,6,5,4,3,2,1,0]') AS level
CROSS JOIN items INDEXED BY {index}
WHERE items.queue = :queue AND items.priority = level.value
    AND items.state = 'queued' AND items.lost_leases {lost_leases}
"""
_FRESH: Final = _PROBE.format(index="items_claim", lost_leases="= 0")
_RECOVERED: Final = _PROBE.format(index="items_recovered", lost_leases="> 0")
_IS_DUE: Final = "AND items.due_at <= :now AND items.deadline_at > :now"

_FIND: Final = "SELECT items.row, items.priority, items.due_at {probe} {is_due} LIMIT :limit"
FIND_FRESH: Final = _FIND.format(probe=_FRESH, is_due=_IS_DUE)
FIND_RECOVERED: Final = _FIND.format(probe=_RECOVERED, is_due=_IS_DUE)
IS_READY: Final = f"SELECT 1 {_FRESH} {_IS_DUE} LIMIT 1"

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
_READ: Final = """
SELECT items.row, items.token, items.attempts, items.generation, items.lost_leases,
    items.deadline_seconds, payloads.traceparent, payloads.tracestate,
    items.accepted_at, items.first_due_at, items.due_at, payloads.headers,
    items.id, items.queue, payloads.content, payloads.content_type, items.priority
FROM json_each(:rows) AS wanted
CROSS JOIN items ON items.row = wanted.value
CROSS JOIN payloads ON payloads.row = items.row
"""

FIND_ORPHANED: Final = """
SELECT row FROM items INDEXED BY items_leased
WHERE state = 'leased' AND queue > '' AND owner <> :owner LIMIT :limit
"""
_TAKE_OVER: Final = """
UPDATE items NOT INDEXED SET token = lease.value ->> 1, owner = :owner
FROM jsonb_each(:leases) AS lease
WHERE items.row = lease.value ->> 0 AND items.state = 'leased' AND items.owner <> :owner
"""


class ClaimDue(Operation[Claimed]):
    """A call for up to `limit` due items of a queue."""

    verb = "claim"

    def __init__(self, queue: str, limit: int, recovered: int) -> None:
        super().__init__()
        self.queue = queue
        self.limit = limit
        self.recovered = min(recovered, limit)
        self.rows = limit


class Reclaim(Operation[Sequence[Claim]]):
    """A call to take over leases of a process that is gone."""

    verb = "reclaim"

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.rows = limit


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
        operation.outcome = _lease(tx, _TAKE_OVER, [row for (row,) in found])


def _claim(tx: Transaction, queue: str, limit: int, recovered: int) -> list[Claim]:
    if queue in tx.paused or limit <= 0:
        return []
    found = tx.run(FIND_FRESH, queue=queue, limit=limit)
    if recovered > 0:
        found += tx.run(FIND_RECOVERED, queue=queue, limit=recovered)
        found.sort(key=lambda due: (-due[1], due[2], due[0]))
    return _lease(tx, _LEASE, [row for row, _, _ in found[:limit]])


def _lease(tx: Transaction, statement: str, rows: Sequence[int]) -> list[Claim]:
    """Put fresh tokens on these rows and read them back, in the same order."""
    if not rows:
        return []
    tokens = tx.draw_tokens(len(rows))
    tx.run(statement, leases=as_json(zip(rows, tokens, strict=True)))
    return [_as_claim(found, tx.now) for found in tx.run(_READ, rows=as_json(rows))]


def _as_claim(found: Sequence[Any], now: float) -> Claim:
    row, token, attempt, generation, lost_leases, deadline_seconds, traceparent, tracestate = found[
        :8
    ]
    accepted_at, first_due_at, due_at, headers, *content = found[8:]
    item_id, queue, payload, content_type, priority = content
    return Claim(
        item=Item(
            id=item_id,
            queue=queue,
            payload=payload,
            content_type=content_type,
            headers=msgspec.json.decode(headers) if headers else {},
            priority=priority,
            accepted_epoch_seconds=accepted_at,
        ),
        lease=Lease(item_id, queue, row, token),
        attempt=attempt,
        generation=generation,
        deadline_seconds=deadline_seconds,
        waited_seconds=max(now - due_at, 0.0),
        elapsed_seconds=max(now - first_due_at, 0.0),
        age_seconds=max(now - accepted_at, 0.0),
        lost_leases=lost_leases,
        traceparent=traceparent,
        tracestate=tracestate,
    )


def _next_due_in_seconds(tx: Transaction, operation: ClaimDue) -> float | None:
    if operation.queue in tx.paused:
        return None
    statements = (NEXT_FRESH, NEXT_RECOVERED) if operation.recovered else (NEXT_FRESH,)
    found = [tx.run(statement, queue=operation.queue)[0][0] for statement in statements]
    due = [due_at for due_at in found if due_at is not None]
    return min(due) - tx.now if due else None
