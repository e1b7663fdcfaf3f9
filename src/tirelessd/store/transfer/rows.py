"""Rows in their canonical form: the shared store's columns, whichever side they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

Row = tuple[Any, ...]


class Table(msgspec.Struct, frozen=True):
    """A table of the shared store; the first `key_columns` tell a row from all others."""

    name: str
    columns: tuple[str, ...]
    key_columns: int = 1

    def key(self, row: Row) -> Row:
        """What the row is known by."""
        return row[: self.key_columns]


ITEMS: Final = Table(
    "items",
    (
        "id",
        "number",
        "token",
        "owner",
        "accepted_at",
        "first_due_at",
        "due_at",
        "deadline_at",
        "deadline_seconds",
        "leased_until",
        "finished_at",
        "attempts",
        "generation",
        "lost_leases",
        "priority",
        "state",
        "queue",
        "dead_reason",
    ),
)
PAYLOADS: Final = Table(
    "payloads", ("id", "content", "content_type", "headers", "traceparent", "tracestate")
)
RESULTS: Final = Table("results", ("id", "content", "content_type"))
FAILURES: Final = Table(
    "failures",
    (
        "id",
        "generation",
        "attempt",
        "status",
        "started_at",
        "duration_seconds",
        "reason",
        "detail",
    ),
    key_columns=3,
)
REDRIVES: Final = Table("redrives", ("id", "traceparent"))
KEYS: Final = Table(
    "idempotency_keys", ("queue", "key", "item_id", "expires_at", "fingerprint"), key_columns=2
)
PAUSES: Final = Table("pauses", ("queue", "expires_at"))
# What an item consists of; each of their rows begins with its id.
OF_ITEMS: Final = (ITEMS, PAYLOADS, RESULTS, FAILURES, REDRIVES)
TABLES: Final = (*OF_ITEMS, KEYS, PAUSES)


class Place(msgspec.Struct, frozen=True):
    """How far a walk over the source has come: after this row, and after this key of this queue.

    All items come before all keys.
    """

    row: int = 0
    queue: str = ""
    key: str = ""


class Batch(msgspec.Struct, frozen=True):
    """Some rows of the source, those of an item all together, and the place behind them."""

    rows: Mapping[Table, Sequence[Row]]
    place: Place

    @property
    def size(self) -> int:
        """How many items and keys there are in it: what progress is counted in."""
        return len(self.rows.get(ITEMS, ())) + len(self.rows.get(KEYS, ()))
