"""Pages of items and of dead letters.

A list of a state first asks the partial index of that state, and if few items are in it, sorts
them. Otherwise it walks the queue in the order of acceptance, which no state change touches, in
stretches of bounded length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asyncpg import Connection, Record

from tirelessd.core.item import ItemRecord, Page, Selection, ShownState, State
from tirelessd.store.base import Changed
from tirelessd.store.cursors import Listed, ListedDead, encode
from tirelessd.store.postgres.claim import LEVELS
from tirelessd.store.postgres.reads import COLUMNS, FAILURE
from tirelessd.store.postgres.rows import as_failure, as_record
from tirelessd.store.postgres.upkeep import DEAD_BY_ID, DEAD_IN_ORDER, selected

# How many items one read of a list looks at.
STRETCH_ROWS: Final = 20_000
# With more than so many in the state, a walk over all items meets them often enough.
FEW_ROWS: Final = 20_000


_DUE: Final = "due_at <= tirelessd_now()"
_LATER: Final = "due_at > tirelessd_now()"
_SHOWN: Final[dict[State | ShownState | None, str]] = {
    None: "true",
    ShownState.READY: f"state = 'queued' AND {_DUE}",
    ShownState.SCHEDULED: f"state = 'queued' AND {_LATER} AND attempts = 0",
    ShownState.RETRYING: f"state = 'queued' AND {_LATER} AND attempts > 0",
    ShownState.RUNNING: "state = 'leased'",
    **{state: f"state = '{state.value}'" for state in State},
}
# The items after a number within a stretch, and where the stretch ends.
LISTS: Final = {
    state: f"""
WITH stretch AS MATERIALIZED (
    SELECT number, state, due_at, attempts FROM items
    WHERE queue COLLATE "C" = $1 AND number > $2 ORDER BY number LIMIT {STRETCH_ROWS}
)
SELECT ARRAY(SELECT number FROM stretch WHERE {condition} ORDER BY number LIMIT $3),
    (SELECT max(number) FROM stretch), (SELECT count(*) FROM stretch)
"""
    for state, condition in _SHOWN.items()
}


def _queued(condition: str) -> str:
    parts = [
        f"""
SELECT found.number FROM {LEVELS} CROSS JOIN LATERAL (
    SELECT items.number FROM items
    WHERE items.queue = $1 AND items.priority = level.priority AND items.state = 'queued'
        AND items.lost_leases {lost_leases} AND items.{condition} LIMIT {FEW_ROWS + 1}
) AS found
"""
        for lost_leases in ("= 0", "> 0")
    ]
    return " UNION ALL ".join(parts)


_LEASED: Final = "SELECT number FROM items WHERE queue = $1 AND owner IS NOT NULL"
_FEW: Final[dict[State | ShownState, str]] = {
    ShownState.READY: _queued(_DUE),
    ShownState.SCHEDULED: _queued(f"{_LATER} AND items.attempts = 0"),
    ShownState.RETRYING: _queued(f"{_LATER} AND items.attempts > 0"),
    ShownState.RUNNING: _LEASED,
    State.QUEUED: _queued("due_at > 0"),
    State.LEASED: _LEASED,
    **{
        state: f"""
SELECT number FROM items
WHERE queue = $1 AND state = '{state.value}' AND finished_at IS NOT NULL
"""
        for state in State
        if state.is_final
    },
}
FEW: Final = {
    state: f"""
WITH few AS MATERIALIZED (SELECT number FROM ({found}) AS found LIMIT {FEW_ROWS + 1})
SELECT ARRAY(SELECT number FROM few WHERE number > $2 ORDER BY number LIMIT $3),
    (SELECT count(*) FROM few)
"""
    for state, found in _FEW.items()
}
# Each with its last failure, in the order of the numbers.
BY_NUMBER: Final = f"""
SELECT {COLUMNS}, {FAILURE}
FROM unnest($2::bigint[]) WITH ORDINALITY AS wanted (number, place)
CROSS JOIN LATERAL (
    SELECT * FROM items
    WHERE items.queue COLLATE "C" = $1 AND items.number = wanted.number LIMIT 1
) AS items
CROSS JOIN LATERAL (SELECT * FROM payloads WHERE payloads.id = items.id LIMIT 1) AS payloads
LEFT JOIN LATERAL (
    SELECT * FROM failures WHERE failures.id = items.id
    ORDER BY generation DESC, attempt DESC LIMIT 1
) AS failures ON true
ORDER BY wanted.place
"""
LIST_DEAD: Final = f"""
SELECT {COLUMNS}, {FAILURE}
FROM (
    SELECT * FROM items
    WHERE dead_reason IS NOT NULL AND (finished_at, id) > ($3::float8, $4::uuid)
        AND ($1::text IS NULL OR queue = $1) AND ($2::text IS NULL OR dead_reason = $2)
    ORDER BY finished_at, id LIMIT $5
) AS items
CROSS JOIN LATERAL (SELECT * FROM payloads WHERE payloads.id = items.id LIMIT 1) AS payloads
LEFT JOIN LATERAL (
    SELECT * FROM failures WHERE failures.id = items.id
    ORDER BY generation DESC, attempt DESC LIMIT 1
) AS failures ON true
ORDER BY items.finished_at, items.id
"""
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
# So many columns of a listed item stand before its last failure.
_ITEM_COLUMNS: Final = 14


async def list_few(
    connection: Connection[Record], queue: str, state: State | ShownState, after: Listed, limit: int
) -> Page | None:
    """A page of a state that few items are in; None when they are many."""
    [(found, count)] = await connection.fetch(FEW[state], queue, after.row, limit + 1)
    if count > FEW_ROWS:
        return None
    page, has_more = found[:limit], len(found) > limit
    records = await _by_number(connection, queue, page)
    return Page(records, encode(Listed(page[-1])) if has_more else None)


async def list_items(
    connection: Connection[Record],
    queue: str,
    state: State | ShownState | None,
    after: Listed,
    limit: int,
) -> tuple[Sequence[ItemRecord], Listed | None]:
    """Items in the order of acceptance, found within one stretch, and where to go on."""
    [(found, last, scanned)] = await connection.fetch(LISTS[state], queue, after.row, limit + 1)
    following = Listed(last) if scanned == STRETCH_ROWS else None
    if len(found) > limit:
        following = Listed(found[limit - 1])
    return await _by_number(connection, queue, found[:limit]), following


async def _by_number(
    connection: Connection[Record], queue: str, numbers: Sequence[int]
) -> Sequence[ItemRecord]:
    found = await connection.fetch(BY_NUMBER, queue, numbers) if numbers else []
    return [_listed(row) for row in found]


def _listed(row: Record) -> ItemRecord:
    failure = tuple(row)[_ITEM_COLUMNS:]
    return as_record(row, as_failure(failure) if failure[0] is not None else None)


async def list_dead(
    connection: Connection[Record], selection: Selection, after: ListedDead, limit: int
) -> Page:
    """A page of dead letters in the order they died, each with its last error."""
    found = await connection.fetch(
        LIST_DEAD,
        selection.queue,
        selection.reason,
        after.died_at,
        after.id or _NOBODY,
        limit + 1,
    )
    page = [_listed(row) for row in found[:limit]]
    if len(found) <= limit:
        return Page(page, None)
    died_at = page[-1].finished_at
    assert died_at is not None
    return Page(page, encode(ListedDead(died_at, page[-1].id)))


async def count_dead(connection: Connection[Record], selection: Selection, limit: int) -> Changed:
    """What a bulk call with this limit would change, and leave."""
    sql = DEAD_IN_ORDER if selection.ids is None else DEAD_BY_ID
    matches = f"SELECT queue, count(*) FROM ({sql}) AS found GROUP BY queue"
    total = f"SELECT count(*) FROM ({sql}) AS found"
    values = selected(selection)
    counts = {row[0]: row[1] for row in await connection.fetch(matches, *values, limit)}
    [(count,)] = await connection.fetch(total, *values, None)
    return Changed(counts, count - sum(counts.values()))
