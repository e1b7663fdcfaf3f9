"""Rows as the values that callers get."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from asyncpg import Record

from tirelessd.core.item import AttemptRecord, Body, ItemRecord, State, shown_state


def canonical(item_id: str) -> bool:
    """Whether a text is an id as they are written here; the database would take other ways too."""
    try:
        return str(UUID(item_id)) == item_id
    except ValueError:
        return False


def as_record(
    found: Record, last_error: AttemptRecord | None, history: Sequence[AttemptRecord] = ()
) -> ItemRecord:
    """An item; `found` has its columns and whether it is due, in the order of `reads.COLUMNS`."""
    (item_id, queue, state_text, attempts, generation, priority, content_type, payload_bytes,
     accepted_at, due_at, deadline_at, finished_at, dead_reason, is_due, *_) = found  # fmt: skip
    state = State(state_text)
    return ItemRecord(
        id=item_id,
        queue=queue,
        state=state,
        shown_state=shown_state(state, is_due=is_due, attempts=attempts),
        attempts=attempts,
        generation=generation,
        priority=priority,
        content_type=content_type,
        payload_bytes=payload_bytes,
        accepted_at=accepted_at,
        due_at=due_at,
        deadline_at=deadline_at,
        finished_at=finished_at,
        dead_reason=dead_reason,
        last_error=last_error,
        history=history,
    )


def as_failure(columns: Iterable[Any]) -> AttemptRecord:
    """A failed attempt, from the columns of `reads.FAILURE`."""
    return AttemptRecord(*columns)


def as_body(found: Sequence[Record]) -> Body | None:
    """Bytes with their content type."""
    return Body(*found[0]) if found else None
