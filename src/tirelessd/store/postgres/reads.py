"""Reads of single items: with their history, their bodies, and the leases one holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asyncpg import Connection, Record

from tirelessd.core.item import Body, ItemRecord, Lease
from tirelessd.store.base import Pause
from tirelessd.store.postgres.rows import as_body, as_failure, as_record, canonical

COLUMNS: Final = """
items.id::text, items.queue, items.state, items.attempts, items.generation, items.priority,
    payloads.content_type, length(payloads.content), items.accepted_at, items.due_at,
    items.deadline_at, items.finished_at, items.dead_reason, items.due_at <= tirelessd_now()
"""
FAILURE: Final = """
failures.generation, failures.attempt, failures.reason, failures.status, failures.detail,
    failures.duration_seconds, failures.started_at
"""
BY_ID: Final = f"""
SELECT {COLUMNS} FROM items JOIN payloads ON payloads.id = items.id WHERE items.id = $1
"""
HISTORY: Final = f"SELECT {FAILURE} FROM failures WHERE id = $1 ORDER BY generation, attempt"
PAYLOAD: Final = "SELECT content, content_type FROM payloads WHERE id = $1"
RESULT: Final = "SELECT content, content_type FROM results WHERE id = $1"
LEASES: Final = """
SELECT id::text, queue, number, token FROM items WHERE owner = $1
"""
OVERDUE: Final = """
SELECT token FROM items WHERE owner <> $1 AND leased_until <= tirelessd_now() LIMIT $2
"""
PAUSES: Final = """
SELECT queue, expires_at - tirelessd_now() FROM pauses
WHERE coalesce(expires_at, 'Infinity') > tirelessd_now() ORDER BY queue
"""
IDENTITY: Final = "SELECT identity FROM identity"


async def get(connection: Connection[Record], item_id: str) -> ItemRecord | None:
    """The item with all of its failures."""
    found = await connection.fetch(BY_ID, item_id) if canonical(item_id) else []
    if not found:
        return None
    history = [as_failure(failure) for failure in await connection.fetch(HISTORY, item_id)]
    return as_record(found[0], history[-1] if history else None, history)


async def payload(connection: Connection[Record], item_id: str) -> Body | None:
    """The payload as it came."""
    return as_body(await connection.fetch(PAYLOAD, item_id) if canonical(item_id) else [])


async def result(connection: Connection[Record], item_id: str) -> Body | None:
    """What the handler answered."""
    return as_body(await connection.fetch(RESULT, item_id) if canonical(item_id) else [])


async def overdue(connection: Connection[Record], owner: int, limit: int) -> Sequence[int]:
    """The tokens of expired leases of other owners."""
    return [token for (token,) in await connection.fetch(OVERDUE, owner, limit)]


async def leases(connection: Connection[Record], owner: int) -> Sequence[Lease]:
    """The leases that this start of the process holds."""
    return [Lease(*columns) for columns in await connection.fetch(LEASES, owner)]


async def pauses(connection: Connection[Record]) -> Sequence[Pause]:
    """The pauses in force."""
    return [Pause(*columns) for columns in await connection.fetch(PAUSES)]


async def identity(connection: Connection[Record]) -> str:
    """What tells this database from all others."""
    return str(await connection.fetchval(IDENTITY))
