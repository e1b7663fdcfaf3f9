"""The order of the verbs within one commit, and why it is right.

It is the embedded store's: what frees an item or ends one comes first, what hands work out comes
last, refills before claim calls, because their slots are free already. Each lane has some of the
verbs; those of different lanes run side by side, and their order is that of their locks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
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
from tirelessd.store.postgres.accept import enqueue
from tirelessd.store.postgres.claim import claim, reclaim, refill
from tirelessd.store.postgres.settle import release, renew, settle
from tirelessd.store.postgres.snapshot import Keep, keep
from tirelessd.store.postgres.transaction import Transaction
from tirelessd.store.postgres.upkeep import (
    Purge,
    cancel,
    change_pauses,
    delete_dead,
    expire,
    purge,
    redrive,
)

_LOOK: Final = "SELECT FROM items LIMIT 1"


async def probe(tx: Transaction, _operations: Sequence[Probe]) -> None:
    """Nothing to write but the commit's own mark; the tables must be there for more."""
    await tx.read(_LOOK)
    tx.is_writing = True


_Step = Callable[[Transaction, Any], Awaitable[None]]
_STEPS: Final[Sequence[tuple[type[Operation[Any]], _Step]]] = (
    (Settle, settle),
    (Release, release),
    (Renew, renew),
    (ChangePause, change_pauses),
    (Cancel, cancel),
    (Expire, expire),
    (Redrive, redrive),
    (DeleteDead, delete_dead),
    (Purge, purge),
    (Keep, keep),
    (Enqueue, enqueue),
    (Reclaim, reclaim),
    (Settle, refill),
    (ClaimDue, claim),
    (Probe, probe),
)


async def execute(tx: Transaction, operations: Sequence[Operation[Any]]) -> None:
    """Execute a commit's operations, those of one verb together; sets every outcome."""
    of_kind: dict[type[Operation[Any]], list[Operation[Any]]] = defaultdict(list)
    for operation in operations:
        of_kind[type(operation)].append(operation)
    for kind, step in _STEPS:
        if kind in of_kind:
            await step(tx, of_kind[kind])
