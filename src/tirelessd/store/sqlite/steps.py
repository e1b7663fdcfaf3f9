"""The order of the verbs within one commit, and why it is right.

Settlements and releases come first: they free what later verbs may take, and nothing here may
delay the end of an attempt. Then what an operator or upkeep changes, so that claims see it: a pause
or a cancel that shares the commit with a claim holds for it. Then new items, whose hand-off must
see every item that now waits. Then claims, last, over everything that is due by now; refills before
claim calls, because their slots are free already.

No caller waits for one answer before its next call appears in the same commit, so any order would
be a legal one; this one hands out work latest and takes it back earliest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from tirelessd.store.commit import Operation
from tirelessd.store.operations import (
    Cancel,
    ChangePause,
    ClaimDue,
    DeleteDead,
    Enqueue,
    Expire,
    Probe,
    Reclaim,
    Redrive,
    Release,
    Renew,
    Settle,
)
from tirelessd.store.sqlite.accept import enqueue
from tirelessd.store.sqlite.claim import claim, reclaim, refill
from tirelessd.store.sqlite.connection import check_tables
from tirelessd.store.sqlite.pauses import change_pauses
from tirelessd.store.sqlite.settle import release, renew, settle
from tirelessd.store.sqlite.transaction import Transaction
from tirelessd.store.sqlite.upkeep import Purge, cancel, delete_dead, expire, purge, redrive


def probe(tx: Transaction, _operations: Sequence[Probe]) -> None:
    """Nothing to write but the commit's own mark; the tables must be there for more."""
    check_tables(tx.db)
    tx.must_write = True


_STEPS: Final[Sequence[tuple[type[Operation[Any]], Callable[[Transaction, Any], None]]]] = (
    (Settle, settle),
    (Release, release),
    (Renew, renew),
    (ChangePause, change_pauses),
    (Cancel, cancel),
    (Expire, expire),
    (Redrive, redrive),
    (DeleteDead, delete_dead),
    (Purge, purge),
    (Enqueue, enqueue),
    (Reclaim, reclaim),
    (Settle, refill),
    (ClaimDue, claim),
    (Probe, probe),
)


def execute(tx: Transaction, operations: Sequence[Operation[Any]]) -> None:
    """Execute a commit's operations, those of one verb together; sets every outcome."""
    of_kind: dict[type[Operation[Any]], list[Operation[Any]]] = defaultdict(list)
    for operation in operations:
        of_kind[type(operation)].append(operation)
    for kind, step in _STEPS:
        if kind in of_kind:
            step(tx, of_kind[kind])
