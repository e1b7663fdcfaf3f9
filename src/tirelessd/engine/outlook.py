"""When a pool looks for items: in time for what it knows of, and now and then for all the rest.

What another process stored nobody announces here for certain, so a pool that knows of nothing looks
all the same. The longer its looks find nothing, the rarer they are, as far as the store allows.
"""

from __future__ import annotations

import asyncio
import math

from tirelessd.store.base import Claimed, Store


class Outlook:
    """The next look of one pool; its instants are the loop's.

    A look takes all slots that are free: whoever announces an item while one is under way is not
    forgotten when its answer comes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._empty_looks = 0
        # 0 for now, infinity while nothing is known to be waiting. Of items that lost a lease the
        # second one tells.
        self._next_due_at = 0.0
        self._lost_due_at = 0.0

    def expect(self, due_in_seconds: float, *, is_recovered: bool = False) -> bool:
        """An item falls due then; whether that is sooner than anything known so far.

        `is_recovered` tells that it lost a lease before, so that only a claim can bring it.
        """
        self._empty_looks = 0
        due_at = self._loop.time() + due_in_seconds
        if is_recovered:
            self._lost_due_at = min(self._lost_due_at, due_at)
        is_sooner = due_at < self._next_due_at
        self._next_due_at = min(self._next_due_at, due_at)
        return is_sooner

    def is_something_due(self) -> bool:
        """Whether an item may be waiting that a slot could have."""
        return self._next_due_at <= self._loop.time()

    def is_lost_due(self) -> bool:
        """Whether one may be waiting that lost a lease."""
        return self._lost_due_at <= self._loop.time()

    def seconds_until_look(self) -> float:
        """How long to wait, unless something is announced meanwhile; 0 for now."""
        return max(0.0, min(self._next_due_at - self._loop.time(), self._interval_seconds()))

    def look_now(self) -> None:
        """The wait is over, or nothing came of the last look."""
        self._next_due_at = 0.0

    def begin(self) -> None:
        """A look is under way: what it will not tell of must be announced from here on."""
        self._next_due_at = self._lost_due_at = math.inf

    def failed(self) -> None:
        """It told nothing."""
        self._next_due_at = self._lost_due_at = 0.0

    def looked(self, claimed: Claimed, limit: int) -> None:
        """It asked for `limit` items, and this is the answer."""
        self._empty_looks = 0 if claimed.claims else self._empty_looks + 1
        # A full answer may have left more behind.
        wait = 0.0 if len(claimed.claims) == limit else claimed.next_due_in_seconds
        if wait is not None:
            self._next_due_at = min(self._next_due_at, self._loop.time() + wait)
        # No word of items that lost a lease is known without asking, so they are asked for again.
        self._lost_due_at = min(self._lost_due_at, self._loop.time() + self._store.poll_seconds)

    def _interval_seconds(self) -> float:
        shortest, longest = self._store.poll_seconds, self._store.longest_poll_seconds
        return max(shortest, min(shortest * 2.0 ** min(self._empty_looks, 8), longest))
