"""The mark of a lane's last commit: by it a commit whose answer was lost is found, or prevented.

A connection that breaks in COMMIT leaves a transaction of which nobody knows whether it happened,
nor whether it still will: the server may be about to read it. So every commit moves the lane's mark
from the last value to a fresh one, and fails unless it finds the last one. Whoever wants to know
moves the mark too. That waits for a transaction that is just committing, and afterwards either it
has happened, or it never can.
"""

from __future__ import annotations

from typing import Final

from asyncpg import Connection, NotNullViolationError, Record

from tirelessd.core.errors import StoreUnavailable
from tirelessd.store.tokens import random_numbers

_TAKE: Final = """
INSERT INTO commits (owner, lane, mark, committed_at) VALUES ($1, $2, $3, tirelessd_now())
ON CONFLICT (owner, lane)
DO UPDATE SET mark = excluded.mark, committed_at = excluded.committed_at
"""
_FENCE: Final = f"{_TAKE} WHERE commits.mark IN ($3, $4) RETURNING 1"
# In the same message as COMMIT, so that it costs no round trip. Numbers and a word of ours.
_COMMIT: Final = """
INSERT INTO commits (owner, lane, mark, committed_at)
VALUES ({owner}, '{lane}', {fresh}, tirelessd_now())
ON CONFLICT (owner, lane) DO UPDATE SET
    mark = CASE WHEN commits.mark = {last} THEN excluded.mark END,
    committed_at = excluded.committed_at;
COMMIT
"""


class MarkMoved(StoreUnavailable):
    """The commit found another mark than the last one, and has not happened."""


class Mark:
    """One lane's mark, as this process knows it."""

    def __init__(self, owner: int, lane: str) -> None:
        self._owner = owner
        self._lane = lane
        # None while it is not known: at the start, and after a commit of unknown fate.
        self._last: int | None = None
        self._fresh = 0

    async def take(self, connection: Connection[Record]) -> None:
        """Make the mark known, in a statement by itself; no earlier commit can happen after it."""
        if self._last is None:
            [fresh] = random_numbers(1)
            await connection.execute(_TAKE, self._owner, self._lane, fresh)
            self._last = fresh

    async def commit(self, connection: Connection[Record]) -> None:
        """Leave a fresh mark and commit."""
        assert self._last is not None
        [self._fresh] = random_numbers(1)
        sql = _COMMIT.format(owner=self._owner, lane=self._lane, fresh=self._fresh, last=self._last)
        try:
            await connection.execute(sql)
        except NotNullViolationError as error:
            self.forget()
            raise MarkMoved(
                "the database does not have the last commit: it was put back, or failed over",
                "connection",
            ) from error
        self._last = self._fresh

    async def has_happened(self, connection: Connection[Record], fence: int) -> bool:
        """Whether the commit that was begun last has happened; if not, it never will.

        `fence` is a fresh number, the same for every try to find out.
        """
        is_fenced = await connection.fetch(_FENCE, self._owner, self._lane, fence, self._last)
        self._last = fence if is_fenced else self._fresh
        return not is_fenced

    def forget(self) -> None:
        """The fate of the last commit could not be learned: the next one begins afresh."""
        self._last = None
