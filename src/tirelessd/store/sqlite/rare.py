"""Lists of a state that few items are in: found by the index of that state, wherever they stand.

No index has the state of all items (record 033), so a list walks the items of its queue. For three
cancelled ones among a million that takes half a second. But every state has a partial index that
serves something else, and a few entries of that are soon read and put in the order of acceptance.
"""

from __future__ import annotations

from typing import Final

import apsw

from tirelessd.core.item import ShownState, State
from tirelessd.store.sqlite.connection import rows

# With more than so many in the state, a walk over all items meets them often enough.
FEW_ROWS: Final = 20_000

_QUEUED: Final = """
SELECT items.row, items.attempts FROM json_each('[9,8,7,6,5,4,3,2,1,0]') AS level
CROSS JOIN items INDEXED BY {index}
WHERE items.queue = :queue AND items.priority = level.value AND items.state = 'queued'
    AND items.lost_leases {lost_leases} AND items.due_at {condition}
"""


def _queued(condition: str) -> str:
    fresh = _QUEUED.format(index="items_claim", lost_leases="= 0", condition=condition)
    lost = _QUEUED.format(index="items_recovered", lost_leases="> 0", condition=condition)
    return f"{fresh} UNION ALL {lost} LIMIT :limit"


_LEASED: Final = """
SELECT row, 1 FROM items INDEXED BY items_leased
WHERE queue = :queue AND state = 'leased' LIMIT :limit
"""
_ENDED: Final = """
SELECT row, 1 FROM items INDEXED BY items_ended
WHERE queue = :queue AND state = '{state}' AND finished_at IS NOT NULL LIMIT :limit
"""
FEW: Final[dict[State | ShownState, str]] = {
    ShownState.READY: _queued("<= :now"),
    ShownState.SCHEDULED: _queued("> :now"),
    ShownState.RETRYING: _queued("> :now"),
    ShownState.RUNNING: _LEASED,
    State.QUEUED: _queued("> -1"),
    State.LEASED: _LEASED,
    **{state: _ENDED.format(state=state.value) for state in State if state.is_final},
}


def find_few(
    db: apsw.Connection, now: float, queue: str, state: State | ShownState, after: int
) -> list[int] | None:
    """The rows of all items in a state after this one, in order; None when they are many."""
    found = rows(db, FEW[state], queue=queue, now=now, limit=FEW_ROWS + 1)
    if len(found) > FEW_ROWS:
        return None
    return sorted(row for row, attempts in found if row > after and _is_shown(state, attempts))


def _is_shown(state: State | ShownState, attempts: int) -> bool:
    """Whether an item of the range belongs to the state: some ranges are shared by two."""
    if state is ShownState.SCHEDULED:
        return attempts == 0
    return state is not ShownState.RETRYING or attempts > 0
