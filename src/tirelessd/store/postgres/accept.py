"""Enqueue: keys resolved, hand-offs granted, rows written, in one commit with everybody else's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from asyncpg import Connection, Record

from tirelessd.core.item import Claim, IdempotencyKey, Item, Lease, NewItem, State
from tirelessd.store.base import Accepted, Enqueued
from tirelessd.store.operations import Enqueue, KnownKey, KnownKeys
from tirelessd.store.postgres.claim import IS_READY
from tirelessd.store.postgres.transaction import Transaction, columns

# The first who comes with a key has it, also among processes: a second one waits here until the
# first has committed. An expired key is anybody's.
TAKE_KEYS: Final = """
INSERT INTO idempotency_keys (queue, key, fingerprint, item_id, expires_at)
SELECT queue, key, fingerprint, item_id, tirelessd_now() + keep_seconds
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::float8[])
    AS given (queue, key, fingerprint, item_id, keep_seconds)
ON CONFLICT (queue, key) DO UPDATE SET fingerprint = excluded.fingerprint,
    item_id = excluded.item_id, expires_at = excluded.expires_at
WHERE idempotency_keys.expires_at <= tirelessd_now()
RETURNING queue, key
"""
FIND_KEYS: Final = """
SELECT known.queue, known.key, known.fingerprint, known.item_id::text, items.state
FROM unnest($1::text[], $2::text[]) AS asked (queue, key)
CROSS JOIN LATERAL (
    SELECT * FROM idempotency_keys AS known
    WHERE known.queue = asked.queue AND known.key = asked.key
        AND known.expires_at > tirelessd_now()
    LIMIT 1
) AS known
LEFT JOIN LATERAL (SELECT state FROM items WHERE items.id = known.item_id LIMIT 1) AS items ON true
"""
# Whether a queue hands off is decided here, where the moment is: a look before would cost a round
# trip, and what one process knows of a shared queue is old. The items come out as they went in.
INSERT: Final = f"""
WITH bodies AS (
    INSERT INTO payloads (id, content, content_type, headers, traceparent, tracestate)
    SELECT * FROM unnest($1::uuid[], $9::bytea[], $10::text[], $11::text[], $12::text[],
        $13::text[])
), idle AS MATERIALIZED (
    SELECT queue FROM unnest($14::text[]) AS asked (queue)
    WHERE NOT EXISTS (
        SELECT FROM pauses WHERE pauses.queue = asked.queue
            AND coalesce(pauses.expires_at, 'Infinity') > tirelessd_now()
    ) AND NOT EXISTS ({IS_READY.format(queue="asked.queue")})
), given AS (
    SELECT *,
        greatest(tirelessd_now() + delay_seconds, not_before_at) AS due_at,
        delay_seconds <= 0 AND coalesce(not_before_at <= tirelessd_now(), true)
            AND queue = ANY (ARRAY(SELECT queue FROM idle)) AND token IS NOT NULL AS is_leased
    FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::float8[], $5::float8[], $6::float8[],
        $7::bigint[], $8::float8[])
        AS item (id, queue, priority, delay_seconds, not_before_at, deadline_seconds, token,
            lease_seconds)
)
INSERT INTO items (
    id, queue, state, priority, attempts, accepted_at, first_due_at, due_at, deadline_at,
    deadline_seconds, token, owner, leased_until
)
SELECT id, queue, CASE WHEN is_leased THEN 'leased' ELSE 'queued' END, priority, is_leased::integer,
    tirelessd_now(), due_at, due_at, due_at + deadline_seconds, deadline_seconds,
    CASE WHEN is_leased THEN token END, CASE WHEN is_leased THEN $15::bigint END,
    CASE WHEN is_leased THEN tirelessd_now() + lease_seconds END
FROM given
RETURNING number, state, due_at, accepted_at
"""


async def find_keys(connection: Connection[Record], items: Iterable[NewItem]) -> KnownKeys:
    """The keys of these items that are known and have not expired."""
    asked = [(item.queue, item.key.text) for item in items if item.key is not None]
    return await _known(connection, asked) if asked else {}


async def _known(connection: Connection[Record], asked: Sequence[tuple[str, str]]) -> KnownKeys:
    found = await connection.fetch(FIND_KEYS, *zip(*asked, strict=True))
    return {
        (queue, key): KnownKey(fingerprint, item_id, State(state) if state else None)
        for queue, key, fingerprint, item_id, state in found
    }


async def enqueue(tx: Transaction, operations: Sequence[Enqueue]) -> None:
    """Write all items of the commit; each operation's answers stand in the order of its items."""
    fresh, known = await _resolve_keys(tx, operations)
    acceptance = _Acceptance(tx, operations)
    stored = acceptance.gather(fresh)
    if stored:
        found = await tx.write(INSERT, *acceptance.values())
        answers = dict(zip(stored, found, strict=True))
    else:
        answers = {}
    for number, operation in enumerate(operations):
        acceptance.answer(number, operation, answers, known)


async def _resolve_keys(
    tx: Transaction, operations: Sequence[Enqueue]
) -> tuple[set[str], KnownKeys]:
    """The ids of the items that are the first with their keys, and what the other keys stand for.

    Sorted, so that two processes that bring the same keys never wait for each other crosswise.
    """
    first: dict[tuple[str, str], tuple[NewItem, IdempotencyKey]] = {}
    for operation in operations:
        for item in operation.items:
            if item.key is not None:
                first.setdefault((item.queue, item.key.text), (item, item.key))
    known: dict[tuple[str, str], KnownKey] = {}
    fresh: set[str] = set()
    left = sorted(first)
    while left:
        taken = await _take_keys(tx, [(place, *first[place]) for place in left])
        for place in taken:
            item, key = first[place]
            known[place] = KnownKey(key.fingerprint, item.id, State.QUEUED)
            fresh.add(item.id)
        # A statement of its own, for it must see what was committed while the first one waited.
        # What it does not find has expired since, or was purged: it is anybody's again.
        if others := [place for place in left if place not in taken]:
            known |= await _known(tx.connection, others)
        left = [place for place in others if place not in known]
    return fresh, known


async def _take_keys(
    tx: Transaction, given: Sequence[tuple[tuple[str, str], NewItem, IdempotencyKey]]
) -> set[tuple[str, str]]:
    rows = [(*place, key.fingerprint, item.id, key.keep_seconds) for place, item, key in given]
    return {(queue, key) for queue, key in await tx.write(TAKE_KEYS, *zip(*rows, strict=True))}


class _Acceptance:
    """The bulk insert of one commit, gathered item by item in the order of acceptance."""

    def __init__(self, tx: Transaction, operations: Sequence[Enqueue]) -> None:
        self._tx = tx
        self._operations = operations
        self._closed: set[str] = set()
        self._asked: set[str] = set()
        self._rows: list[tuple[Any, ...]] = []
        self._tokens: dict[tuple[int, int], int] = {}

    def gather(self, fresh: set[str]) -> list[tuple[int, int]]:
        """Choose the items to store; each by the numbers of its operation and of its place."""
        reserved = sum(len(operation.reserved) for operation in self._operations)
        tokens = iter(self._tx.draw_tokens(reserved))
        stored: list[tuple[int, int]] = []
        for number, operation in enumerate(self._operations):
            operation.claims = {}
            for index, item in enumerate(operation.items):
                if item.key is None or item.id in fresh:
                    token = self._token(operation, index, item, tokens)
                    if token is not None:
                        self._tokens[number, index] = token
                    lease_seconds = _lease_seconds(operation, item) if token is not None else None
                    self._rows.append(_columns(item, token, lease_seconds))
                    stored.append((number, index))
        return stored

    def _token(self, operation: Enqueue, index: int, item: NewItem, tokens: Any) -> int | None:
        """A token for a reserved slot, unless an item before this one waits for a claim."""
        if index in operation.reserved and item.queue not in self._closed:
            self._asked.add(item.queue)
            return int(next(tokens))
        if item.delay_seconds <= 0.0:
            self._closed.add(item.queue)
        return None

    def values(self) -> Sequence[Any]:
        """What the statement is given."""
        return *columns(self._rows), list(self._asked), self._tx.owner

    def answer(
        self,
        number: int,
        operation: Enqueue,
        stored: dict[tuple[int, int], Record],
        known: KnownKeys,
    ) -> None:
        """Set the outcome of an operation, and the claims for the slots that were set aside."""
        answers: list[Enqueued] = []
        for index, item in enumerate(operation.items):
            row = stored.get((number, index))
            if row is None:
                assert item.key is not None
                answers.append(known[item.queue, item.key.text].answer(item.key))
                continue
            state = State(row["state"])
            is_leased = state is State.LEASED
            if item.key is not None:
                known[item.queue, item.key.text] = KnownKey(item.key.fingerprint, item.id, state)
            if is_leased:
                token = self._tokens[number, index]
                operation.claims[index] = _claim(item, row["number"], token, row["accepted_at"])
            due_in = row["due_at"] - row["accepted_at"]
            answers.append(Accepted(item.id, state, is_leased, due_in))
        operation.outcome = answers


def _lease_seconds(operation: Enqueue, item: NewItem) -> float:
    assert operation.hand_off is not None
    return operation.hand_off.lease_seconds(item.queue)


def _columns(item: NewItem, token: int | None, lease_seconds: float | None) -> tuple[Any, ...]:
    headers = msgspec.json.encode(item.headers).decode() if item.headers else None
    trace = item.trace
    traced = (None, None) if trace is None else (trace.traceparent, trace.tracestate)
    return (
        item.id, item.queue, item.priority, max(item.delay_seconds, 0.0), item.not_before_at,
        item.deadline_seconds, token, lease_seconds, item.payload, item.content_type, headers,
        *traced,
    )  # fmt: skip


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
