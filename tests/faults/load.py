"""Load from outside: an open loop that submits at its rate, whatever the answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp

from tests.faults.ledger import Entry, Ledger
from tests.waiting import a_moment

CONNECTIONS = 16
TICK_SECONDS = 0.005

Words = str | Mapping[str, float]


@dataclass(frozen=True)
class Wish:
    """What to submit: so many items a second, of these sizes; words by their weights."""

    rate: float
    word: Words = "ok"
    size_bytes: tuple[int, int] = (300, 2_000)
    connections: int = CONNECTIONS
    timeout_seconds: float = 10.0
    most: int = 1_000_000

    def draw(self, source: random.Random) -> tuple[str, int]:
        """The word and the size of one item."""
        size = source.randint(*self.size_bytes)
        if isinstance(self.word, str):
            return self.word, size
        return source.choices(list(self.word), list(self.word.values()))[0], size


class Load:
    """Submits until told to stop; `url` is asked anew each time, for a restart changes the port."""

    def __init__(
        self, ledger: Ledger, url: Callable[[], str], wish: Wish, source: random.Random
    ) -> None:
        self._ledger, self._url, self._wish, self._source = ledger, url, wish, source
        self._over = asyncio.Event()
        self._pending: set[asyncio.Task[Entry]] = set()
        self.sent = 0

    def stop(self) -> None:
        """Submit no more; `run` returns when every answer is there."""
        self._over.set()

    async def run(self) -> None:
        """Submit what is due by the rate, so that a late moment is made up for."""
        wish = self._wish
        connector = aiohttp.TCPConnector(limit=wish.connections)
        timeout = aiohttp.ClientTimeout(total=wish.timeout_seconds)
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            started_at = loop.time()
            while not self._over.is_set() and self.sent < wish.most:
                due = min(wish.most, int((loop.time() - started_at) * wish.rate) + 1)
                while self.sent < due:
                    self._submit(session)
                await a_moment(TICK_SECONDS)
            if self._pending:
                await asyncio.wait(self._pending)

    def _submit(self, session: aiohttp.ClientSession) -> None:
        self.sent += 1
        word, size = self._wish.draw(self._source)
        work = self._ledger.submit(session, self._url(), word, size_bytes=size)
        task = asyncio.get_running_loop().create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
