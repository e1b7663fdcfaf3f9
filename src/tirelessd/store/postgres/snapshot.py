"""The snapshot: counts and ages of every queue, from index ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from asyncpg import Connection, Record

from tirelessd.core.item import ShownState, State
from tirelessd.store.base import QueueSnapshot, Snapshot
from tirelessd.store.postgres.claim import LEVELS

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


async def snapshot(connection: Connection[Record], queues: Sequence[str], wall: float) -> Snapshot:
    """All queues at one moment; `wall` is this host's time."""
    stored = [name for (name,) in await connection.fetch(QUEUE_NAMES)]
    names = [*queues, *(name for name in stored if name not in queues)]
    counted = await connection.fetch(COUNTS, names)
    ages = await connection.fetch(READY_AGES, names)
    ready_ages = {row[0]: row[1] for row in ages}
    found = {name: _queue(name, counted, ready_ages) for name in names}
    [(size_bytes, now, dead_rows, oldest_seconds)] = await connection.fetch(STATE)
    return Snapshot(
        queues={name: found[name] for name in queues},
        unconfigured=_sum([found[name] for name in stored if name not in queues]),
        size_bytes=size_bytes,
        free_bytes=None,
        log_bytes=None,
        ahead_seconds=now - wall,
        dead_rows=int(dead_rows),
        oldest_transaction_seconds=float(oldest_seconds),
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


def _sum(parts: Sequence[QueueSnapshot]) -> QueueSnapshot:
    return QueueSnapshot(
        {state: sum(part.counts[state] for part in parts) for state in ShownState},
        max((part.ready_age_seconds for part in parts), default=0.0),
        {
            state: max((part.item_age_seconds[state] for part in parts), default=0.0)
            for state in ShownState
        },
    )
