"""What the policy makes of an outcome; the store adds its own clock to the seconds."""

from __future__ import annotations

import msgspec

from tirelessd.core.item import Lease
from tirelessd.core.outcome import DeadReason, Failure


class Complete(msgspec.Struct, frozen=True):
    """The item succeeded; `result` is what its handler answered, if anything."""

    result: bytes | None = None
    content_type: str = "application/octet-stream"


class RetryAfter(msgspec.Struct, frozen=True):
    """Another attempt is due in so many seconds, because of this failure."""

    seconds: float
    failure: Failure


class GiveUpBecause(msgspec.Struct, frozen=True):
    """No further attempt; the item ends dead."""

    reason: DeadReason
    failure: Failure


Decision = Complete | RetryAfter | GiveUpBecause


class Settlement(msgspec.Struct, frozen=True):
    """A decision to be written through a lease, with the attempt that led to it.

    With `refill` the same commit may claim one more due item of the queue, for the slot that this
    settlement frees.
    """

    lease: Lease
    decision: Decision
    generation: int
    attempt: int
    duration_seconds: float = 0.0
    # Half again to twice the throughput: the slot needs no second commit to get its next item.
    refill: bool = False
    # The store could not tell the fate of an earlier try: if this very lease has been settled, it
    # was by that one.
    is_repeat: bool = False

    @property
    def failure(self) -> Failure | None:
        """The failure to append to the item's history, None after a success."""
        return None if isinstance(self.decision, Complete) else self.decision.failure
