"""The embedded store that is moved: locked, looked through, and left as it was found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec

from tirelessd.core.errors import Misconfigured, StartError, StoreUnavailable
from tirelessd.store.sqlite.connection import (
    check_tables,
    is_there,
    pragma,
    rows,
)
from tirelessd.store.sqlite.held import held
from tirelessd.store.sqlite.schema import MIGRATIONS
from tirelessd.store.transfer.rows import (
    FAILURES,
    ITEMS,
    KEYS,
    PAYLOADS,
    REDRIVES,
    RESULTS,
    Batch,
    Place,
    Row,
)

BATCH_ROWS: Final = 1_000
# Payloads may be a mebibyte each; so many bytes of them are held in memory, and a little more.
BATCH_BYTES: Final = 8 * 2**20

# A lease whose process is gone never ends by itself here, and there it ended long ago: either way
# the next start takes it over, and its attempt stays counted.
_ITEMS: Final = """
SELECT items.id, items.row, items.token, iif(items.state = 'leased', items.owner, NULL),
    items.accepted_at, items.first_due_at, items.due_at, items.deadline_at, items.deadline_seconds,
    iif(items.state = 'leased', 0.0, NULL), items.finished_at, items.attempts, items.generation,
    items.lost_leases, items.priority, items.state, items.queue, items.dead_reason,
    payloads.content, payloads.content_type, payloads.headers, payloads.traceparent,
    payloads.tracestate, results.content, results.content_type
FROM items LEFT JOIN payloads ON payloads.row = items.row
LEFT JOIN results ON results.row = items.row
WHERE items.row > :after ORDER BY items.row LIMIT :limit
"""
_FAILURES: Final = """
SELECT items.id, failures.generation, failures.attempt, failures.status, failures.started_at,
    failures.duration_seconds, failures.reason, failures.detail
FROM failures CROSS JOIN items ON items.row = failures.row
WHERE failures.row > :after AND failures.row <= :last
ORDER BY failures.row, failures.generation, failures.attempt
"""
_REDRIVES: Final = """
SELECT items.id, redrives.traceparent FROM redrives CROSS JOIN items ON items.row = redrives.row
WHERE redrives.row > :after AND redrives.row <= :last ORDER BY redrives.row
"""
_KEYS: Final = """
SELECT queue, key, item_id, expires_at, fingerprint FROM idempotency_keys
WHERE (queue, key) > (:queue, :key) ORDER BY queue, key LIMIT :limit
"""
_PAUSES: Final = "SELECT queue, expires_at FROM pauses ORDER BY queue"
_ABOUT: Final = "SELECT identity, mark, last_row, left_at FROM commits"
_STATES: Final = "SELECT state, count(*) FROM items GROUP BY state"
_COUNT_KEYS: Final = "SELECT count(*) FROM idempotency_keys"
_COUNT_UNTIL: Final = """
SELECT (SELECT count(*) FROM items WHERE row <= :row) + (
    SELECT count(*) FROM idempotency_keys WHERE (queue, key) <= (:queue, :key)
)
"""
_KNOWN: Final = "SELECT 1 FROM items INDEXED BY items_id WHERE id = :id"
# Where the two parts of a row of `_ITEMS` end that are not the last one.
_ITEM_ENDS: Final = len(ITEMS.columns)
_PAYLOAD_ENDS: Final = _ITEM_ENDS + len(PAYLOADS.columns) - 1


class Contents(msgspec.Struct, frozen=True):
    """How much there is to be moved."""

    states: Mapping[str, int]
    keys: int
    pauses: int

    @property
    def items(self) -> int:
        """Of all states together."""
        return sum(self.states.values())

    @property
    def total(self) -> int:
        """What progress is counted in: items and keys."""
        return self.items + self.keys


class Source:
    """What one embedded store holds, seen at one moment.

    `label` tells this store from all others, `mark` its last commit from all earlier ones.
    `last_row` is the number of the last item that it ever accepted, `left_at` its time then.
    """

    def __init__(self, db: apsw.Connection, path: Path, batch_rows: int = BATCH_ROWS) -> None:
        self._db = db
        self._path = path
        self._batch_rows = batch_rows
        # Whatever is read from here on is of one moment, should somebody write to it all the same.
        db.execute("BEGIN")
        about = rows(db, _ABOUT)
        if not about:
            raise Misconfigured(f"{path} was never used; there is nothing in it to be moved")
        [(identity, self.mark, last_row, self.left_at)] = about
        self.label = f"sqlite-{identity}"
        self.last_row = max(last_row, rows(db, "SELECT coalesce(max(row), 0) FROM items")[0][0])

    def contents(self) -> Contents:
        """Counted afresh: a second for a million items."""
        [(keys,)] = rows(self._db, _COUNT_KEYS)
        return Contents(dict(rows(self._db, _STATES)), keys, len(self.pauses()))

    def pauses(self) -> Sequence[Row]:
        """All pauses, those that are over included."""
        return rows(self._db, _PAUSES)

    def count_until(self, place: Place) -> int:
        """How many items and keys lie before a place."""
        [(count,)] = rows(self._db, _COUNT_UNTIL, row=place.row, queue=place.queue, key=place.key)
        return int(count)

    def knows(self, item_id: str) -> bool:
        """Whether there is such an item."""
        return bool(rows(self._db, _KNOWN, id=item_id))

    def batches(self, after: Place) -> Iterator[Batch]:
        """Everything behind a place, in the order of places."""
        while (batch := self._items(after)) is not None:
            yield batch
            after = batch.place
        while keys := self._keys(after):
            after = msgspec.structs.replace(after, queue=keys[-1][0], key=keys[-1][1])
            yield Batch({KEYS: keys}, after)

    def _items(self, after: Place) -> Batch | None:
        found: list[Row] = []
        size_bytes = 0
        for row in self._db.execute(_ITEMS, {"after": after.row, "limit": self._batch_rows}):
            self._check_payload(row)
            found.append(row)
            size_bytes += len(row[_ITEM_ENDS]) + len(row[_PAYLOAD_ENDS] or b"")
            if size_bytes >= BATCH_BYTES:
                break
        if not found:
            return None
        items = [row[:_ITEM_ENDS] for row in found]
        place = msgspec.structs.replace(after, row=items[-1][1])
        ends = {"after": after.row, "last": place.row}
        return Batch(
            {
                ITEMS: items,
                PAYLOADS: [(row[0], *row[_ITEM_ENDS:_PAYLOAD_ENDS]) for row in found],
                RESULTS: [
                    (row[0], *row[_PAYLOAD_ENDS:])
                    for row in found
                    if row[_PAYLOAD_ENDS] is not None
                ],
                FAILURES: rows(self._db, _FAILURES, **ends),
                REDRIVES: rows(self._db, _REDRIVES, **ends),
            },
            place,
        )

    def _check_payload(self, row: Row) -> None:
        if row[_ITEM_ENDS] is None:
            raise StartError(
                f"{self._path}: the item {row[0]} has no payload; the database is damaged, restore "
                "it from a backup"
            )

    def _keys(self, after: Place) -> list[Row]:
        return rows(self._db, _KEYS, queue=after.queue, key=after.key, limit=self._batch_rows)


@contextmanager
def open_source(
    given: Path, monotonic: Callable[[], float], batch_rows: int = BATCH_ROWS
) -> Iterator[Source]:
    """Hold an embedded store as a daemon would, and read it; not a byte of it is changed.

    Raises `StartError`, also for what turns out to be damaged in between.
    """
    path = Path(os.path.realpath(given))
    if not is_there(path):
        raise Misconfigured(f"{path} is not there")
    with held(path, monotonic) as db:
        _check_schema(db, path)
        yield Source(db, path, batch_rows)


def _check_schema(db: apsw.Connection, path: Path) -> None:
    version = pragma(db, "user_version")
    if version < len(MIGRATIONS):
        raise Misconfigured(
            f"{path} has a schema of version {version}, and {len(MIGRATIONS)} is needed: "
            "run tirelessd migrate with this store first"
        )
    try:
        check_tables(db)
    except StoreUnavailable as error:
        raise StartError(f"{path}: {error}") from None
