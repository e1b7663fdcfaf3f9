"""What metrics are read from besides events: shapes only, so that nobody below need import this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from tirelessd.core.item import ShownState


class PoolReading(Protocol):
    """One queue's pool at one moment; instants are host epoch seconds, 0 for never."""

    @property
    def slots(self) -> int:
        """Slots there are."""
        ...

    @property
    def busy(self) -> int:
        """Slots that hold an item or are stuck."""
        ...

    @property
    def stuck(self) -> int:
        """Slots whose attempt is settled while its handler goes on."""
        ...

    @property
    def is_paused(self) -> bool:
        """Whether an operator has paused the queue."""
        ...

    @property
    def unfinished_seconds(self) -> float:
        """Time spent so far in attempts that have not ended, added up."""
        ...

    @property
    def longest_running_seconds(self) -> float:
        """The largest share of one attempt in that; 0 when nothing runs."""
        ...

    @property
    def last_claim_at(self) -> float:
        """When the store last answered a claim."""
        ...

    @property
    def last_progress_at(self) -> float:
        """When an attempt was last settled."""
        ...


class QueueCounts(Protocol):
    """One queue in the store; what is missing from a mapping is 0."""

    @property
    def counts(self) -> Mapping[ShownState, int]:
        """Items per state."""
        ...

    @property
    def ready_age_seconds(self) -> float:
        """How long the longest-due claimable item has been due."""
        ...

    @property
    def item_age_seconds(self) -> Mapping[ShownState, float]:
        """Age since acceptance of the oldest item per state."""
        ...


class StoreReading(Protocol):
    """The store at one moment: the snapshot that upkeep takes."""

    @property
    def queues(self) -> Mapping[str, QueueCounts]:
        """The configured queues by name."""
        ...

    @property
    def unconfigured(self) -> QueueCounts:
        """All other queues as one."""
        ...

    @property
    def size_bytes(self) -> int:
        """Data on disk."""
        ...

    @property
    def free_bytes(self) -> int | None:
        """Room left for it; None where only the store's host knows."""
        ...

    @property
    def log_bytes(self) -> int | None:
        """The write-ahead log; None as before."""
        ...

    @property
    def dead_rows(self) -> int | None:
        """Rows that are gone and still in the way of searches; None in an embedded store."""
        ...

    @property
    def oldest_transaction_seconds(self) -> float | None:
        """How long the oldest transaction there has been open; None as before."""
        ...

    @property
    def ahead_seconds(self) -> float:
        """How far the store's time is ahead of this host's clock."""
        ...
