"""Pauses: one row per paused queue, read afresh by every commit that claims or hands off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tirelessd.store.commit import Operation
from tirelessd.store.sqlite.transaction import Transaction

_PAUSE: Final = "INSERT OR REPLACE INTO pauses (queue, expires_at) VALUES (:queue, :now + :seconds)"
_RESUME: Final = "DELETE FROM pauses WHERE queue = :queue"


class ChangePause(Operation[None]):
    """A queue to be paused (for so long, or until resumed) or resumed."""

    verb = "pause"
    is_patient = False

    def __init__(self, queue: str, *, is_paused: bool, seconds: float | None = None) -> None:
        super().__init__()
        self.queue = queue
        self.is_paused = is_paused
        self.seconds = seconds


def change_pauses(tx: Transaction, operations: Sequence[ChangePause]) -> None:
    """Apply pauses and resumes in the order they came."""
    for operation in operations:
        if operation.is_paused:
            tx.run(_PAUSE, queue=operation.queue, seconds=operation.seconds)
        else:
            tx.run(_RESUME, queue=operation.queue)
