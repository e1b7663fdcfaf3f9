"""What ends or keeps a lease: settle, release, renew. Each is fenced by state and token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tirelessd.core.decision import Complete, Decision, GiveUpBecause, RetryAfter, Settlement
from tirelessd.core.item import Lease
from tirelessd.core.outcome import Reason
from tirelessd.store.base import Settled
from tirelessd.store.operations import Fenced, Release, Renew, Settle
from tirelessd.store.sqlite.transaction import Blobs, Transaction, as_json

_HELD: Final = """
FROM jsonb_each(:leases) AS lease
WHERE items.row = lease.value ->> 0 AND items.state = 'leased'
    AND items.token = lease.value ->> 1
"""
_SUCCEED: Final = f"""
UPDATE items NOT INDEXED SET state = 'succeeded', finished_at = :now
{_HELD} RETURNING row, token
"""
_FAIL: Final = f"""
UPDATE items NOT INDEXED SET
    state = iif(lease.value ->> 3 IS NULL, 'queued', 'dead'),
    due_at = coalesce(:now + lease.value ->> 2, due_at),
    dead_reason = lease.value ->> 3,
    finished_at = iif(lease.value ->> 3 IS NULL, NULL, :now),
    lost_leases = lost_leases + lease.value ->> 4
{_HELD} RETURNING row, token, generation, attempts
"""
# A settled item keeps the token of its last lease, by which a repeated settlement knows its own
# work (`_SETTLED`); so a lease that ends without a decision must take its token along.
_RELEASE: Final = f"""
UPDATE items NOT INDEXED SET state = 'queued', attempts = attempts - 1, token = NULL
{_HELD}
"""
_CONFIRM: Final = """
SELECT items.row, items.token FROM jsonb_each(:leases) AS lease
CROSS JOIN items ON items.row = lease.value ->> 0
WHERE items.state = 'leased' AND items.token = lease.value ->> 1
"""
_SETTLED: Final = """
SELECT items.row, items.token FROM jsonb_each(:leases) AS lease
CROSS JOIN items ON items.row = lease.value ->> 0
WHERE items.state <> 'leased' AND items.token = lease.value ->> 1
"""
_UNDO: Final = """
UPDATE items INDEXED BY items_leased
SET state = 'queued', attempts = attempts - 1, token = NULL
WHERE state = 'leased' AND queue > '' AND token IN (SELECT value FROM json_each(:tokens))
"""
_INSERT_RESULTS: Final = """
INSERT OR REPLACE INTO results (row, content, content_type)
SELECT value ->> 0, substr(:contents, value ->> 1, value ->> 2), value ->> 3
FROM jsonb_each(:rows)
"""
_INSERT_FAILURES: Final = """
INSERT INTO failures (
    row, generation, attempt, reason, status, detail, duration_seconds, started_at
)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
    :now - value ->> 6
FROM jsonb_each(:rows)
"""


_WRITTEN: Final = Settled(is_held=True)
_REFUSED: Final = Settled(is_held=False)

# The row and the token of a lease: what the fence compares.
_Fence = tuple[int, int]
_Settlements = dict[_Fence, Settlement]


def settle(tx: Transaction, operations: Sequence[Settle]) -> None:
    """Write all decisions of the commit; of two that come with one lease, the first is written."""
    first: _Settlements = {}
    for operation in operations:
        for settlement in operation.settlements:
            first.setdefault(_fence(settlement.lease), settlement)
    held = _written_before(tx, first)  # looked for first: what is written now is no earlier try
    held |= _write_successes(tx, _only(Complete, first))
    held |= _write_failures(tx, _only((RetryAfter, GiveUpBecause), first))
    for operation in operations:
        operation.outcome = [_answer(settlement, held) for settlement in operation.settlements]


def release(tx: Transaction, operations: Sequence[Release]) -> None:
    """Hand items back, due as before, the attempt un-counted."""
    held = tx.run(_CONFIRM, leases=_fences(operations))
    tx.run(_RELEASE, leases=as_json(held))
    _answer_fenced(operations, held)


def renew(tx: Transaction, operations: Sequence[Renew]) -> None:
    """Tell which leases hold; here they last as long as their process, so nothing is written."""
    _answer_fenced(operations, tx.run(_CONFIRM, leases=_fences(operations)))


def undo(tx: Transaction, tokens: Sequence[int]) -> None:
    """Hand back leases that were written, but whose holders were told they might not be."""
    tx.run(_UNDO, tokens=as_json(tokens))


def _only(
    kinds: type[Decision] | tuple[type[Decision], ...], settlements: _Settlements
) -> _Settlements:
    return {key: each for key, each in settlements.items() if isinstance(each.decision, kinds)}


def _written_before(tx: Transaction, settlements: _Settlements) -> set[_Fence]:
    """The leases that an earlier try of the same settlement has ended."""
    repeats = [key for key, settlement in settlements.items() if settlement.is_repeat]
    return set(tx.run(_SETTLED, leases=as_json(repeats))) if repeats else set()


def _answer(settlement: Settlement, held: set[_Fence]) -> Settled:
    """Whether this one was written; in the order of the calls, so the first with a lease was."""
    fence = _fence(settlement.lease)
    if fence not in held:
        return _REFUSED
    held.remove(fence)
    return _WRITTEN


def _fence(lease: Lease) -> _Fence:
    return lease.row, lease.token


def _fences(operations: Sequence[Fenced]) -> str:
    return as_json({_fence(lease) for operation in operations for lease in operation.leases})


def _answer_fenced(operations: Sequence[Fenced], found: Sequence[_Fence]) -> None:
    held = set(found)
    for operation in operations:
        operation.outcome = [_fence(lease) in held for lease in operation.leases]


def _write_successes(tx: Transaction, settlements: _Settlements) -> set[_Fence]:
    if not settlements:
        return set()
    held = set(tx.run(_SUCCEED, leases=as_json(settlements)))
    contents = Blobs()
    results = [
        (key[0], *contents.add(decision.result), decision.content_type)
        for key in held
        if isinstance(decision := settlements[key].decision, Complete)
        and decision.result is not None
    ]
    if results:
        tx.run(_INSERT_RESULTS, rows=as_json(results), contents=contents.joined())
    return held


def _write_failures(tx: Transaction, settlements: _Settlements) -> set[_Fence]:
    if not settlements:
        return set()
    leases = [(*key, *_consequence(s.decision)) for key, s in settlements.items()]
    found = {(row, token): rest for row, token, *rest in tx.run(_FAIL, leases=as_json(leases))}
    history = [
        (key[0], *which, failure.reason, failure.status, failure.detail, s.duration_seconds)
        for key, which in found.items()
        if (failure := (s := settlements[key]).failure) is not None
    ]
    tx.run(_INSERT_FAILURES, rows=as_json(history))
    return set(found)


def _consequence(decision: Decision) -> tuple[float | None, str | None, int]:
    """Seconds until the next attempt, dead reason, lost leases."""
    if isinstance(decision, Complete):
        return None, None, 0
    is_loss = int(decision.failure.reason is Reason.LEASE_LOST)
    if isinstance(decision, RetryAfter):
        return decision.seconds, None, is_loss
    return None, decision.reason, is_loss
