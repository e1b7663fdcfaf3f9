"""One write transaction: what its statements share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import apsw
import msgspec

from tirelessd.core.errors import StoreUnavailable
from tirelessd.store.sqlite.connection import rows
from tirelessd.store.tokens import random_numbers

_LEAVE_MARK: Final = """
UPDATE commits SET mark = ?, last_row = max(last_row, ?), left_at = ?, booted_at = ?
"""


class Transaction:
    """What the statements of one commit share: the connection, the moment, fresh rows and tokens.

    `now` is the store's time for everything in the commit; `owner` names this start of the process
    on the leases it grants. `tokens` collects those drawn, should the commit's fate be unknown;
    `mark` is what this commit alone leaves behind; `must_write` wants it left in any case;
    `last_row` is the last of the fresh rows that were used.
    """

    def __init__(
        self, db: apsw.Connection, now: float, owner: int, fresh_rows: Iterator[int]
    ) -> None:
        self.db = db
        self.now = now
        self.owner = owner
        self.fresh_rows = fresh_rows
        self.tokens: list[int] = []
        [self.mark] = random_numbers(1)
        self.must_write = False
        self.last_row = 0

    def run(self, sql: str, **values: Any) -> list[Any]:
        """Execute one statement and return its rows; `now` and `owner` are always bound."""
        return rows(self.db, sql, now=self.now, owner=self.owner, **values)

    def draw_tokens(self, count: int) -> Sequence[int]:
        """Fresh random tokens from the kernel: none can be guessed, and no restart repeats one."""
        tokens = random_numbers(count)
        self.tokens += tokens
        return tokens

    def leave_mark(self, booted_at: float) -> None:
        """Write what identifies this commit; raises `StoreUnavailable` if its place is gone."""
        self.db.execute(_LEAVE_MARK, (self.mark, self.last_row, self.now, booted_at))
        if self.db.changes() != 1:
            raise StoreUnavailable("somebody deleted the row of commits; it is made anew")

    @cached_property
    def paused(self) -> frozenset[str]:
        """The queues that are paused at this moment."""
        found = self.run("SELECT queue FROM pauses WHERE coalesce(expires_at, 9e999) > :now")
        return frozenset(queue for (queue,) in found)


def as_json(values: Iterable[Any]) -> str:
    """Values for one bulk statement, which reads them with `jsonb_each`: in C, without the GIL."""
    return msgspec.json.encode(list(values)).decode()


class Blobs:
    """Many byte strings bound to a statement as one, to be cut with `substr`, byte for byte."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._end = 0

    def add(self, content: bytes) -> tuple[int, int]:
        """Append; returns where it starts, counted from 1, and its length."""
        start = self._end + 1
        self._parts.append(content)
        self._end += len(content)
        return start, len(content)

    def joined(self) -> bytes:
        """All of them, and one byte more: from an empty blob SQLite would cut NULL."""
        return b"".join([*self._parts, b"\0"])
