"""Callers that know their trade: every item has a key, and is sent again until it is accepted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import aiohttp

from tests.faults.check import in_order
from tests.faults.ledger import Entry, Ledger
from tests.faults.load import Wish
from tests.kubelet.service import Service
from tests.waiting import a_moment, wait_until

TICK_SECONDS = 0.005
# What a caller waits whom nobody has told how long: doubled each time up to the most, jittered.
RETRY_SECONDS, MOST_SECONDS = 0.1, 1.0
# Whoever is refused longer than this has lost patience, and the test its case.
PATIENCE_SECONDS = 30.0


class Callers:
    """Submits at a rate through a Service while it is entered; at its end all has been accepted.

    An answer of 503 is waited out for what `Retry-After` says, a second at most, for the times of
    this cluster are short; a refused connection for a time that doubles.
    """

    def __init__(
        self,
        ledger: Ledger,
        service: Service,
        wish: Wish,
        source: random.Random,
        *,
        is_kept: bool = True,
    ) -> None:
        self._ledger, self._service, self._wish, self._source = ledger, service, wish, source
        self._is_kept = is_kept
        self._over = asyncio.Event()
        self._pending: set[asyncio.Task[None]] = set()
        self._refused: set[str] = set()
        self.rate = wish.rate
        self.sent = 0

    async def __aenter__(self) -> Self:
        """Begin."""
        self._running = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Send nothing new, and return when everything that was sent has been accepted."""
        self._over.set()
        await self._running

    async def wait_calm(self) -> None:
        """Return once everybody who was refused has been accepted."""

        async def is_calm() -> bool:
            return not self._refused

        await wait_until(is_calm, PATIENCE_SECONDS)

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(
            resolver=self._service,
            use_dns_cache=False,
            limit=self._wish.connections,
            force_close=not self._is_kept,
        )
        timeout = aiohttp.ClientTimeout(total=self._wish.timeout_seconds)
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            due, looked_at = 1.0, loop.time()
            while not self._over.is_set():
                due, looked_at = due + self.rate * (loop.time() - looked_at), loop.time()
                while self.sent < int(due):
                    self._begin(session)
                await a_moment(TICK_SECONDS)
            if self._pending:
                await asyncio.gather(*self._pending)

    def _begin(self, session: aiohttp.ClientSession) -> None:
        self.sent += 1
        task = asyncio.get_running_loop().create_task(self._deliver(session))
        self._pending.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        # One that failed stays, and is told of at the end.
        if not task.cancelled() and task.exception() is None:
            self._pending.discard(task)

    async def _deliver(self, session: aiohttp.ClientSession) -> None:
        """Send one item until it is accepted."""
        word, size = self._wish.draw(self._source)
        url, key = f"{self._service.url}/v1/queues/work/items", self._ledger.new_key()
        seconds = RETRY_SECONDS
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                entry = await self._ledger.submit(session, url, word, size_bytes=size, key=key)
                if entry.fate == "acked":
                    self._refused.discard(key)
                    return
                self._refused.add(key)
                drawn = self._source.uniform(seconds / 2, seconds)
                await a_moment(min(float(entry.retry_after or 0.0), MOST_SECONDS) + drawn)
                seconds = min(2 * seconds, MOST_SECONDS)


@dataclass(frozen=True)
class Seen:
    """What callers saw of an installation: answers by what they were, and how long they waited.

    `waits` has, for each key that was not accepted at once, the seconds until it was.
    """

    answers: Counter[str]
    waits: Sequence[float]

    def wait(self, share: float) -> float:
        """What such a share of those who waited has at most waited."""
        return in_order(self.waits, share)


def seen_by_callers(entries: Sequence[Entry]) -> Seen:
    """What the ledger says of it."""
    first: dict[str, Entry] = {}
    waits = {}
    for entry in sorted(entries, key=lambda each: each.sent_at):
        began = first.setdefault(entry.key, entry)
        if entry.fate == "acked" and began is not entry:
            waits[entry.key] = entry.answered_at - began.sent_at
    return Seen(Counter(map(word_of, entries)), sorted(waits.values()))


def word_of(entry: Entry) -> str:
    """One word for what a submission was answered."""
    if entry.status:
        return str(entry.status)
    return "refused" if entry.fate == "refused" else "unanswered"
