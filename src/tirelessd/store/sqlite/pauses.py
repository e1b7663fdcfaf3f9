"""Pauses: one row per paused queue, read afresh by every commit that claims or hands off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tirelessd.store.operations import ChangePause
from tirelessd.store.sqlite.transaction import Transaction

_PAUSE: Final = "INSERT OR REPLACE INTO pauses (queue, expires_at) VALUES (:queue, :now + :seconds)"
_RESUME: Final = "DELETE FROM pauses WHERE queue = :queue"


def change_pauses(tx: Transaction, operations: Sequence[ChangePause]) -> None:
    """Apply pauses and resumes in the order they came."""
    for operation in operations:
        if operation.is_paused:
            tx.run(_PAUSE, queue=operation.queue, seconds=operation.seconds)
        else:
            tx.run(_RESUME, queue=operation.queue)
