"""What ends or keeps a lease: settle, release, renew. Each is fenced by state and token.

The lease's end is no part of the fence: an expired lease that nobody took over still settles.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from asyncpg import Record

from tirelessd.core.decision import Complete, GiveUpBecause, RetryAfter, Settlement
from tirelessd.core.item import Lease
from tirelessd.core.outcome import Reason
from tirelessd.store.base import Settled
from tirelessd.store.operations import Fenced, Release, Renew, Settle
from tirelessd.store.postgres.transaction import Transaction, columns

# The ids twice: to join by, and so that the rows are looked up by them in any case. A planner that
# believes the table to be empty would rather walk it.
_HELD: Final = """
items.id = ANY ($1::uuid[]) AND items.id = lease.id AND items.state = 'leased'
    AND items.token = lease.token
"""
SUCCEED: Final = f"""
WITH ended AS (
    UPDATE items SET state = 'succeeded', owner = NULL, finished_at = tirelessd_now()
    FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[])
        AS lease (id, token, content, content_type)
    WHERE {_HELD}
    RETURNING items.id, items.token, lease.content, lease.content_type
), kept AS (
    INSERT INTO results (id, content, content_type)
    SELECT id, content, content_type FROM ended WHERE content IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET content = excluded.content, content_type = excluded.content_type
)
SELECT id::text, token FROM ended
"""
FAIL: Final = f"""
WITH ended AS (
    UPDATE items SET
        state = CASE WHEN lease.dead_reason IS NULL THEN 'queued' ELSE 'dead' END,
        due_at = coalesce(tirelessd_now() + lease.due_in_seconds, items.due_at),
        owner = NULL, dead_reason = lease.dead_reason,
        finished_at = CASE WHEN lease.dead_reason IS NOT NULL THEN tirelessd_now() END,
        lost_leases = items.lost_leases + lease.lost_leases
    FROM unnest($1::uuid[], $2::bigint[], $3::float8[], $4::text[], $5::integer[], $6::text[],
        $7::integer[], $8::text[], $9::float8[])
        AS lease (id, token, due_in_seconds, dead_reason, lost_leases, reason, status, detail,
            duration_seconds)
    WHERE {_HELD}
    RETURNING items.id, items.token, items.generation, items.attempts, lease.reason, lease.status,
        lease.detail, lease.duration_seconds
), history AS (
    INSERT INTO failures (
        id, generation, attempt, reason, status, detail, duration_seconds, started_at
    )
    SELECT id, generation, attempts, reason, status, detail, duration_seconds,
        tirelessd_now() - duration_seconds
    FROM ended
)
SELECT id::text, token FROM ended
"""
# A settled item keeps the token of its last lease, by which a repeated settlement knows its own
# work; so a lease that ends without a decision must take its token along.
SETTLED: Final = """
SELECT items.id::text, items.token FROM unnest($1::uuid[], $2::bigint[]) AS lease (id, token)
JOIN items ON items.id = lease.id
WHERE items.id = ANY ($1::uuid[]) AND items.state <> 'leased' AND items.token = lease.token
"""
RELEASE: Final = f"""
UPDATE items SET state = 'queued', attempts = attempts - 1, owner = NULL, token = NULL
FROM unnest($1::uuid[], $2::bigint[]) AS lease (id, token) WHERE {_HELD}
RETURNING items.id::text, lease.token
"""
RENEW: Final = f"""
UPDATE items SET leased_until = tirelessd_now() + lease.seconds
FROM unnest($1::uuid[], $2::bigint[], $3::float8[]) AS lease (id, token, seconds) WHERE {_HELD}
RETURNING items.id::text, items.token
"""
UNDO: Final = """
UPDATE items SET state = 'queued', attempts = attempts - 1, owner = NULL, token = NULL
WHERE owner = $1 AND token = ANY ($2::bigint[])
RETURNING 1
"""

_WRITTEN: Final = Settled(is_held=True)
_REFUSED: Final = Settled(is_held=False)

# The item and the token of a lease: what the fence compares.
_Fence = tuple[str, int]
_Settlements = dict[_Fence, Settlement]


async def settle(tx: Transaction, operations: Sequence[Settle]) -> None:
    """Write all decisions of the commit; of two that come with one lease, the first is written."""
    first: _Settlements = {}
    for operation in operations:
        for settlement in operation.settlements:
            first.setdefault(_fence(settlement.lease), settlement)
    held = await _written_before(tx, first)  # first: what is written now is no earlier try
    held |= await _write_successes(tx, first)
    held |= await _write_failures(tx, first)
    for operation in operations:
        operation.outcome = [_answer(settlement, held) for settlement in operation.settlements]


async def release(tx: Transaction, operations: Sequence[Release]) -> None:
    """Hand items back, due as before, the attempt un-counted."""
    fences = sorted({_fence(lease) for operation in operations for lease in operation.leases})
    _answer_fenced(operations, await tx.write(RELEASE, *zip(*fences, strict=True)))


async def renew(tx: Transaction, operations: Sequence[Renew]) -> None:
    """Have leases last on from now, and tell which ones hold."""
    seconds: dict[_Fence, float] = {}
    for operation in operations:
        seconds |= dict.fromkeys(map(_fence, operation.leases), operation.lease_seconds)
    given = sorted((*fence, each) for fence, each in seconds.items())
    _answer_fenced(operations, await tx.write(RENEW, *zip(*given, strict=True)))


async def undo(tx: Transaction, tokens: Sequence[int]) -> None:
    """Hand back leases that were written, but whose holders were told they might not be."""
    await tx.write(UNDO, tx.owner, tokens)


def _fence(lease: Lease) -> _Fence:
    return lease.item_id, lease.token


def _fences(found: Sequence[Record]) -> set[_Fence]:
    return {(item_id, token) for item_id, token in found}


def _answer_fenced(operations: Sequence[Fenced], found: Sequence[Record]) -> None:
    held = _fences(found)
    for operation in operations:
        operation.outcome = [_fence(lease) in held for lease in operation.leases]


def _answer(settlement: Settlement, held: set[_Fence]) -> Settled:
    """Whether this one was written; in the order of the calls, so the first with a lease was."""
    fence = _fence(settlement.lease)
    if fence not in held:
        return _REFUSED
    held.remove(fence)
    return _WRITTEN


async def _written_before(tx: Transaction, settlements: _Settlements) -> set[_Fence]:
    """The leases that an earlier try of the same settlement has ended."""
    repeats = [fence for fence, settlement in settlements.items() if settlement.is_repeat]
    return _fences(await tx.read(SETTLED, *_columns(repeats))) if repeats else set()


async def _write_successes(tx: Transaction, settlements: _Settlements) -> set[_Fence]:
    rows = [
        (*fence, settlement.decision.result, settlement.decision.content_type)
        for fence, settlement in settlements.items()
        if isinstance(settlement.decision, Complete)
    ]
    return _fences(await tx.write(SUCCEED, *_columns(rows))) if rows else set()


async def _write_failures(tx: Transaction, settlements: _Settlements) -> set[_Fence]:
    rows = [
        (*fence, *_consequence(settlement.decision), settlement.duration_seconds)
        for fence, settlement in settlements.items()
        if not isinstance(settlement.decision, Complete)
    ]
    return _fences(await tx.write(FAIL, *_columns(rows))) if rows else set()


def _columns(rows: Collection[tuple[Any, ...]]) -> Sequence[Sequence[Any]]:
    """Rows as the columns that `unnest` takes; sorted, so that locks are taken in one order."""
    return columns(sorted(rows, key=_first_two))


def _first_two(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:2]


def _consequence(decision: RetryAfter | GiveUpBecause) -> tuple[Any, ...]:
    """Seconds until the next attempt, dead reason, lost leases; and the failure for the history."""
    failure = decision.failure
    is_loss = int(failure.reason is Reason.LEASE_LOST)
    told = (is_loss, failure.reason, failure.status, failure.detail)
    if isinstance(decision, RetryAfter):
        return decision.seconds, None, *told
    return None, decision.reason, *told
