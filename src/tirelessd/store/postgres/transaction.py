"""One transaction: what its statements share, and how it begins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from asyncpg import Connection, InterfaceError, Record

from tirelessd.store.postgres.turns import Turns
from tirelessd.store.tokens import random_numbers

# A transaction that has taken so long hands out nothing more, or nothing at all: it must commit
# while there is time for it, or every queue of the lane would fail, come again, and fail again.
MORE_CLAIMS_SECONDS: Final = 1.0
FIRST_CLAIM_SECONDS: Final = 2.0
STATEMENT_SECONDS: Final = 2.0
LOCK_SECONDS: Final = 1.0
# For another process that has brought the same key and has not committed: a stopped one keeps it
# until the server ends its transaction, and all who share this commit would wait along.
KEY_SECONDS: Final = 0.2
ROLLBACK_SECONDS: Final = 0.5
# Every statement here goes by an index, and must not change its mind when a table's statistics are
# old or missing: a queue's tables go from empty to millions of rows within a minute. So whatever
# reads whole tables is priced out, and a plan is made once. Batches are joined by their hashes: a
# planner that expects ten rows of two thousand would compare each with each. Only what is LATERAL
# still goes row by row. Each setting ends with the
# transaction: behind a transaction pooler the next one may be somebody else's.
_SETTINGS: Final = """
SET LOCAL statement_timeout = {statement_ms:.0f};
SET LOCAL lock_timeout = {lock_ms:.0f};
SET LOCAL idle_in_transaction_session_timeout = 5000;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL enable_nestloop = off;
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off
"""
_BEGIN: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;{_SETTINGS}"
BEGIN: Final = _BEGIN.format(statement_ms=STATEMENT_SECONDS * 1000, lock_ms=LOCK_SECONDS * 1000)
BEGIN_WITH_KEYS: Final = _BEGIN.format(
    statement_ms=STATEMENT_SECONDS * 1000, lock_ms=KEY_SECONDS * 1000
)


def begin_read(seconds: float) -> str:
    """How a read begins whose statements all see one moment, none longer than so many seconds."""
    settings = _SETTINGS.format(statement_ms=seconds * 1000, lock_ms=LOCK_SECONDS * 1000)
    return f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;{settings}"


async def roll_back(connection: Connection[Record]) -> None:
    """Undo what a statement of ours made fail; a connection that will not is thrown away."""
    try:
        async with asyncio.timeout(ROLLBACK_SECONDS):
            await connection.execute("ROLLBACK")
    except Exception:  # noqa: BLE001  (the statement's own error is the one to tell)
        discard(connection)


def discard(connection: Connection[Record]) -> None:
    """Break a connection that may be in the middle of anything."""
    # One that has broken by itself the pool has let go of already, and it answers to nothing.
    with suppress(InterfaceError):
        connection.terminate()


def columns(rows: Iterable[tuple[Any, ...]]) -> list[Sequence[Any]]:
    """Rows as the arrays that `unnest` takes.

    One that holds nothing but NULL becomes an empty one, which `unnest` fills up: an element costs
    the driver as much as a value does.
    """
    return [
        () if column.count(None) == len(column) else column for column in zip(*rows, strict=True)
    ]


class Transaction:
    """What the statements of one commit share: the connection, and fresh tokens.

    `owner` names this start of the process on the leases it grants. `tokens` collects those drawn,
    should the commit's fate be unknown; `is_writing` tells that there is something to commit.
    `turns` are the lane's.
    """

    def __init__(self, connection: Connection[Record], owner: int, turns: Turns) -> None:
        self.connection = connection
        self.owner = owner
        self.turns = turns
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._has_claimed = False
        self.tokens: list[int] = []
        self.is_writing = False

    async def read(self, sql: str, *values: Any) -> list[Record]:
        """The rows of a statement that changes nothing."""
        return await self.connection.fetch(sql, *values)

    async def write(self, sql: str, *values: Any) -> list[Record]:
        """The rows of a statement that answers with a row for whatever it changes."""
        found = await self.connection.fetch(sql, *values)
        self.is_writing = self.is_writing or bool(found)
        return found

    def may_claim(self, queue: str) -> bool:
        """Whether there is time for one more claim; if so, it is this queue's turn."""
        limit = MORE_CLAIMS_SECONDS if self._has_claimed else FIRST_CLAIM_SECONDS
        if self._loop.time() - self._began_at >= limit:
            return False
        self._has_claimed = True
        self.turns.take(queue)
        return True

    def draw_tokens(self, count: int) -> Sequence[int]:
        """Fresh tokens for leases that this commit may grant."""
        tokens = random_numbers(count)
        self.tokens += tokens
        return tokens
