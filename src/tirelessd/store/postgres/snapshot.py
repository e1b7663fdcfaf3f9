"""The snapshot: counts and ages of every queue, from index ranges.

Where counting takes long, one process counts and the others read what it counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from asyncpg import Connection, Record
from msgspec.structs import replace

from tirelessd.core.clock import Clock
from tirelessd.core.item import ShownState, State
from tirelessd.store.base import QueueSnapshot, Snapshot
from tirelessd.store.commit import Operation
from tirelessd.store.postgres.claim import LEVELS
from tirelessd.store.postgres.transaction import Transaction
from tirelessd.store.reuse import REUSE_CAP_SECONDS, reusable_seconds

_COUNT_QUEUED: Final = f"""
SELECT '{{shown}}' AS shown, sum(at_level.count)::bigint AS count, min(at_level.first) AS first
FROM {LEVELS} CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(items.number) AS first FROM items
    WHERE items.queue = asked.queue AND items.priority = level.priority AND items.state = 'queued'
        AND items.lost_leases {{lost_leases}} AND items.due_at {{condition}}
) AS at_level
"""
_QUEUED: Final = {
    ShownState.READY: "<= tirelessd_now()",
    ShownState.SCHEDULED: "> tirelessd_now() AND items.attempts = 0",
    ShownState.RETRYING: "> tirelessd_now() AND items.attempts > 0",
}
_COUNT_LEASED: Final = """
SELECT 'running', count(*), min(number) FROM items
WHERE items.queue = asked.queue AND items.owner IS NOT NULL
"""
_COUNT_ENDED: Final = """
SELECT '{state}', count(*), min(number) FROM items
WHERE items.queue = asked.queue AND items.state = '{state}' AND items.finished_at IS NOT NULL
"""
_COUNTED: Final = " UNION ALL ".join(
    [
        *(
            _COUNT_QUEUED.format(shown=shown.value, lost_leases=lost_leases, condition=condition)
            for lost_leases in ("= 0", "> 0")
            for shown, condition in _QUEUED.items()
        ),
        _COUNT_LEASED,
        *(_COUNT_ENDED.format(state=state.value) for state in State if state.is_final),
    ]
)
# A row per queue, shown state and index: how many, and how long ago the first of them was accepted.
COUNTS: Final = f"""
SELECT asked.queue, counted.shown, counted.count,
    coalesce(greatest(tirelessd_now() - (
        SELECT accepted_at FROM items
        WHERE items.queue COLLATE "C" = asked.queue AND items.number = counted.first
    ), 0), 0)
FROM unnest($1::text[]) AS asked (queue) CROSS JOIN LATERAL ({_COUNTED}) AS counted
WHERE counted.count > 0
"""
_LONGEST_DUE: Final = f"""
SELECT min(due.due_at) FROM {LEVELS} CROSS JOIN LATERAL (
    SELECT items.due_at FROM items
    WHERE items.queue = asked.queue AND items.priority = level.priority AND items.state = 'queued'
        AND items.lost_leases {{lost_leases}}
        AND items.due_at <= tirelessd_now() AND items.deadline_at > tirelessd_now()
    ORDER BY items.due_at LIMIT 1
) AS due
"""
READY_AGES: Final = f"""
SELECT asked.queue, coalesce(tirelessd_now() - least(
    ({_LONGEST_DUE.format(lost_leases="= 0")}), ({_LONGEST_DUE.format(lost_leases="> 0")})
), 0)
FROM unnest($1::text[]) AS asked (queue)
"""
# Each step seeks the next name, whatever the number of items between.
QUEUE_NAMES: Final = """
WITH RECURSIVE names (queue) AS (
    (SELECT queue FROM items ORDER BY queue COLLATE "C" LIMIT 1)
    UNION ALL
    SELECT (
        SELECT items.queue FROM items WHERE items.queue COLLATE "C" > names.queue
        ORDER BY items.queue COLLATE "C" LIMIT 1
    ) FROM names WHERE names.queue IS NOT NULL
)
SELECT queue FROM names WHERE queue IS NOT NULL
"""
# Rows that are gone and still in the way of every search, and what may keep them there: a vacuum
# removes nothing that the oldest transaction might want to see.
STATE: Final = """
SELECT pg_database_size(current_database()), tirelessd_now(),
    (SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables WHERE relname = 'items'),
    (SELECT coalesce(max(extract(epoch FROM statement_timestamp() - xact_start)), 0)
        FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid())
"""


_KEPT: Final = "SELECT content, tirelessd_now() FROM snapshots"
# What was counted further ahead was so before the database's clock was put back: it is older than
# anybody can tell.
_AHEAD_SECONDS: Final = 1.0
_KEEP: Final = f"""
INSERT INTO snapshots (taken_at, content) VALUES ($1, $2)
ON CONFLICT (only_one) DO UPDATE SET taken_at = excluded.taken_at, content = excluded.content
WHERE snapshots.taken_at < excluded.taken_at
   OR snapshots.taken_at > tirelessd_now() + {_AHEAD_SECONDS}
"""
# Until the end of the transaction that counts; any number will do that nobody else uses.
IS_FIRST: Final = "SELECT pg_try_advisory_xact_lock(7236270211904387684)"
# Behind one who counts, what was counted before is good enough for so long.
_BEHIND_SECONDS: Final = 3 * REUSE_CAP_SECONDS


class Count(msgspec.Struct, frozen=True):
    """What one process counted for all of them; `counted_at` is the database's time."""

    queues: Mapping[str, QueueSnapshot]
    size_bytes: int
    dead_rows: int
    oldest_transaction_seconds: float
    counted_at: float
    took_seconds: float = 0.0

    def snapshot(self, queues: Sequence[str], now: float, wall: float) -> Snapshot:
        """For a process that has these queues; `now` is the database's time, `wall` its host's."""
        nothing = _sum([])
        others = {name: each for name, each in self.queues.items() if name not in queues}
        return Snapshot(
            queues={name: self.queues.get(name, nothing) for name in queues},
            unconfigured=_sum(list(others.values())),
            unconfigured_names=[name for name, each in others.items() if _is_left(each)],
            size_bytes=self.size_bytes,
            free_bytes=None,
            log_bytes=None,
            ahead_seconds=now - wall,
            dead_rows=self.dead_rows,
            oldest_transaction_seconds=self.oldest_transaction_seconds,
            age_seconds=max(now - self.counted_at, 0.0),
            took_seconds=self.took_seconds,
        )


class Keep(Operation[None]):
    """A count that took long, for the others to read."""

    verb = "snapshot"
    is_patient = False

    def __init__(self, count: Count) -> None:
        super().__init__()
        self.count = count


async def keep(tx: Transaction, operations: Sequence[Keep]) -> None:
    """The latest is the one that is kept."""
    for operation in operations:
        content = msgspec.json.encode(operation.count).decode()
        await tx.write(_KEEP, operation.count.counted_at, content)


async def look(connection: Connection[Record], clock: Clock) -> tuple[Count, float]:
    """What another process has counted not long ago, or is counted now; the database's time."""
    found = await connection.fetch(_KEPT)
    for content, now in found:
        kept = msgspec.json.decode(content, type=Count)
        age_seconds = now - kept.counted_at
        if age_seconds < -_AHEAD_SECONDS:
            break
        if age_seconds < reusable_seconds(kept.took_seconds):
            return kept, now
        [(is_first,)] = await connection.fetch(IS_FIRST)
        if not is_first and age_seconds < _BEHIND_SECONDS:
            return kept, now
    began_at = clock.monotonic()
    counted = await count(connection)
    return replace(counted, took_seconds=clock.monotonic() - began_at), counted.counted_at


async def count(connection: Connection[Record]) -> Count:
    """All queues that have items, at one moment."""
    names = [name for (name,) in await connection.fetch(QUEUE_NAMES)]
    counted = await connection.fetch(COUNTS, names)
    ready_ages = {row[0]: row[1] for row in await connection.fetch(READY_AGES, names)}
    [(size_bytes, now, dead_rows, oldest_seconds)] = await connection.fetch(STATE)
    return Count(
        queues={name: _queue(name, counted, ready_ages) for name in names},
        size_bytes=size_bytes,
        dead_rows=int(dead_rows),
        oldest_transaction_seconds=float(oldest_seconds),
        counted_at=now,
    )


def _queue(name: str, counted: Sequence[Record], ready_ages: Mapping[str, float]) -> QueueSnapshot:
    counts = dict.fromkeys(ShownState, 0)
    ages = dict.fromkeys(ShownState, 0.0)
    for queue, word, number, age in counted:
        if queue == name:
            state = ShownState(word)
            counts[state] += number
            ages[state] = max(ages[state], age)
    return QueueSnapshot(counts, max(ready_ages[name], 0.0), ages)


def _is_left(queue: QueueSnapshot) -> bool:
    return queue.unfinished > 0 or queue.counts[ShownState.DEAD] > 0


def _sum(parts: Sequence[QueueSnapshot]) -> QueueSnapshot:
    return QueueSnapshot(
        {state: sum(part.counts[state] for part in parts) for state in ShownState},
        max((part.ready_age_seconds for part in parts), default=0.0),
        {
            state: max((part.item_age_seconds[state] for part in parts), default=0.0)
            for state in ShownState
        },
    )
