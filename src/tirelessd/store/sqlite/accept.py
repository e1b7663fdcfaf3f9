"""Enqueue: keys resolved, hand-offs granted, rows written, in one commit with everybody else's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw
import msgspec

from tirelessd.core.item import Claim, Item, Lease, NewItem, State
from tirelessd.store.base import Accepted, Enqueued
from tirelessd.store.operations import Enqueue, KnownKey, KnownKeys, due_at
from tirelessd.store.sqlite.claim import IS_READY
from tirelessd.store.sqlite.transaction import Blobs, Transaction, as_json

_INSERT_ITEMS: Final = """
INSERT INTO items (
    row, id, queue, state, priority, attempts, generation, lost_leases, accepted_at,
    first_due_at, due_at, deadline_at, deadline_seconds, token, owner
)
SELECT value ->> 0, value ->> 1, value ->> 2, iif(value ->> 6 IS NULL, 'queued', 'leased'),
    value ->> 3, value ->> 6 IS NOT NULL, 1, 0, :now,
    value ->> 4, value ->> 4, value ->> 4 + value ->> 5, value ->> 5, value ->> 6,
    iif(value ->> 6 IS NULL, NULL, :owner)
FROM jsonb_each(:rows)
"""
_INSERT_PAYLOADS: Final = """
INSERT INTO payloads (row, content, content_type, headers, traceparent, tracestate)
SELECT value ->> 0, substr(:contents, value ->> 1, value ->> 2), value ->> 3, value ->> 4,
    value ->> 5, value ->> 6
FROM jsonb_each(:rows)
"""
_INSERT_KEYS: Final = """
INSERT INTO idempotency_keys (queue, key, fingerprint, item_id, expires_at)
SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3, :now + value ->> 4
FROM jsonb_each(:rows) WHERE true
ON CONFLICT (queue, key) DO UPDATE SET fingerprint = excluded.fingerprint,
    item_id = excluded.item_id, expires_at = excluded.expires_at
"""
FIND_KEYS: Final = """
SELECT k.queue, k.key, k.fingerprint, k.item_id, items.state
FROM json_each(:keys) AS asked
CROSS JOIN idempotency_keys AS k ON k.queue = asked.value ->> 0 AND k.key = asked.value ->> 1
LEFT JOIN items INDEXED BY items_id ON items.id = k.item_id
WHERE k.expires_at > :now
"""


def find_keys(db: apsw.Connection, items: Iterable[NewItem], now: float) -> KnownKeys:
    """The keys of these items that are known and have not expired."""
    asked = [(item.queue, item.key.text) for item in items if item.key is not None]
    if not asked:
        return {}
    found = db.execute(FIND_KEYS, {"keys": as_json(asked), "now": now})
    return {
        (queue, key): KnownKey(fingerprint, item_id, State(state) if state else None)
        for queue, key, fingerprint, item_id, state in found
    }


def enqueue(tx: Transaction, operations: Sequence[Enqueue]) -> None:
    """Write all items of the commit; each operation's answers stand in the order of its items."""
    _Acceptance(tx, operations).run()


class _Acceptance:
    """The bulk insert of one commit, gathered item by item in the order of acceptance."""

    def __init__(self, tx: Transaction, operations: Sequence[Enqueue]) -> None:
        self._tx = tx
        self._operations = operations
        self._known = find_keys(tx.db, (i for o in operations for i in o.items), tx.now)
        self._closed = self._queues_without_hand_off()
        self._items: list[tuple[Any, ...]] = []
        self._payloads: list[tuple[Any, ...]] = []
        self._contents = Blobs()
        self._keys: list[tuple[Any, ...]] = []

    def run(self) -> None:
        tokens = iter(self._tx.draw_tokens(sum(len(o.reserved) for o in self._operations)))
        for operation in self._operations:
            operation.claims = {}
            operation.outcome = [
                self._accept(operation, index, item, tokens)
                for index, item in enumerate(operation.items)
            ]
        if self._items:
            self._tx.last_row = self._items[-1][0]
            self._tx.run(_INSERT_ITEMS, rows=as_json(self._items))
            self._tx.run(
                _INSERT_PAYLOADS, rows=as_json(self._payloads), contents=self._contents.joined()
            )
        if self._keys:
            self._tx.run(_INSERT_KEYS, rows=as_json(self._keys))

    def _queues_without_hand_off(self) -> set[str]:
        """Paused queues, and those where an item waits that a slot must take first."""
        asked = {o.items[index].queue for o in self._operations for index in o.reserved}
        asked -= self._tx.paused
        waiting = {queue for queue in asked if self._tx.run(IS_READY, queue=queue, limit=1)}
        return waiting | self._tx.paused

    def _accept(self, operation: Enqueue, index: int, item: NewItem, tokens: Any) -> Enqueued:
        if item.key is not None and (known := self._known.get((item.queue, item.key.text))):
            return known.answer(item.key)
        now, row = self._tx.now, next(self._tx.fresh_rows)
        falls_due_at = due_at(item, now)
        if index in operation.reserved and item.queue not in self._closed:
            token = next(tokens)
            operation.claims[index] = _claim(item, row, token, now)
            self._add(item, row, falls_due_at, State.LEASED, token)
            return Accepted(item.id, State.LEASED, is_handed_off=True, due_in_seconds=0.0)
        if falls_due_at <= now:
            self._closed.add(item.queue)  # whoever comes later in this commit stands behind it
        self._add(item, row, falls_due_at, State.QUEUED, None)
        return Accepted(
            item.id, State.QUEUED, is_handed_off=False, due_in_seconds=falls_due_at - now
        )

    def _add(
        self, item: NewItem, row: int, falls_due_at: float, state: State, token: int | None
    ) -> None:
        self._items.append(
            (row, item.id, item.queue, item.priority, falls_due_at, item.deadline_seconds, token)
        )
        headers = msgspec.json.encode(item.headers).decode() if item.headers else None
        place = self._contents.add(item.payload)
        trace = item.trace
        traced = (None, None) if trace is None else (trace.traceparent, trace.tracestate)
        self._payloads.append((row, *place, item.content_type, headers, *traced))
        if (key := item.key) is not None:
            self._known[item.queue, key.text] = KnownKey(key.fingerprint, item.id, state)
            self._keys.append(
                (item.queue, key.text, key.fingerprint.hex(), item.id, key.keep_seconds)
            )


def _claim(item: NewItem, row: int, token: int, now: float) -> Claim:
    return Claim(
        item=Item(
            item.id, item.queue, item.payload, item.content_type, item.headers, item.priority, now
        ),
        lease=Lease(item.id, item.queue, row, token),
        attempt=1,
        generation=1,
        deadline_seconds=item.deadline_seconds,
        trace=item.trace,
    )
