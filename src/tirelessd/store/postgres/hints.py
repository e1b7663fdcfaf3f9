"""Hints between processes: an item is due, and where it was stored no slot waits for it.

They go by `LISTEN` and `NOTIFY`, on a connection of their own. A commit that notifies waits for
every other that does, on the whole server; so no item's commit ever does. What is told goes out a
few times a second at most, in a commit that waits for no disk.

Whoever listens asks itself now and then: behind a transaction pooler, or on a line that is dead,
nothing is ever heard, and pools must know to look more often.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Final, Never, TypeAlias

from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy

from tirelessd.core.clock import Clock
from tirelessd.core.events import Emit, HintsUnheard, StoreOperationFinished
from tirelessd.store.commit import kind_of
from tirelessd.store.postgres.faults import Fault, fault_of, store_error
from tirelessd.store.postgres.pools import Borrowed
from tirelessd.store.postgres.transaction import discard

CHANNEL: Final = "tirelessd_due"
# Of what is told within so long, others hear once; and not all at the same moment.
PAUSE_SECONDS: Final = 0.1
SPREAD_SECONDS: Final = 0.05
CHECK_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 0.8
# After a failure, for one who could not be reached is often back soon.
RETRY_SECONDS: Final = 2.0
# After one's own word has not come back.
DEAF_SECONDS: Final = 60.0
# No queue has this name.
_QUESTION: Final = ""
_TELL: Final = f"SELECT pg_notify('{CHANNEL}', name) FROM unnest($1::text[]) AS name"

_Talker: TypeAlias = "Connection[Record] | PoolConnectionProxy[Record]"


class _UnheardError(Exception):
    """One's own word did not come back."""


class Hints:
    """Tells others, and hears them, as long as there is a connection; nobody waits for it.

    `connect` gives the connection. `emit` hears how long it took to tell, or what went wrong.
    """

    def __init__(self, connect: Callable[[], Borrowed], clock: Clock, emit: Emit) -> None:
        self._connect = connect
        self._clock = clock
        self._emit = emit
        self._source = random.SystemRandom()
        self._loop = asyncio.get_running_loop()
        self._step_began_at = 0.0
        self._heard: Callable[[str], None] | None = None
        self._untold: set[str] = set()
        self._unheard: set[str] = set()
        self._stirred = asyncio.Event()
        self._answered = asyncio.Event()
        self._is_unheard_told = False
        self.is_listening = False

    def tell(self, queue: str) -> None:
        """Have all others look into that queue soon."""
        self._untold.add(queue)
        self._stirred.set()

    async def listen(self, heard: Callable[[str], None]) -> Never:
        """Tell, and call `heard` with the queue of every hint of another process; never returns."""
        self._heard = heard
        while True:
            self._step_began_at = self._clock.monotonic()
            pause_seconds = RETRY_SECONDS
            try:
                async with self._connect() as connection:
                    await self._talk(connection)
            except _UnheardError:
                pause_seconds = DEAF_SECONDS
                self._tell_unheard()
            except Exception as error:
                fault = fault_of(error)
                if fault is Fault.VALUE:
                    raise
                self._report(store_error(error, fault))
            finally:
                self.is_listening = False
            await asyncio.sleep(pause_seconds * self._source.uniform(0.5, 1.5))

    def _tell_unheard(self) -> None:
        """No error of the store's, and nothing that passes by itself: once is enough."""
        if not self._is_unheard_told:
            self._is_unheard_told = True
            self._emit(HintsUnheard())

    async def _talk(self, connection: Connection[Record]) -> None:
        connection.add_termination_listener(self._stir)
        await connection.add_listener(CHANNEL, self._hear)
        await self._ask(connection)
        self.is_listening = True
        try:
            while True:
                await self._wait(CHECK_SECONDS)
                if not self._untold:
                    await self._ask(connection)
                    continue
                await self._say(connection, self._take_untold())
                await asyncio.sleep(PAUSE_SECONDS)
        except asyncio.CancelledError:
            # What a drain hands back waits for nobody's next look; and nobody waits for a goodbye.
            try:
                await self._say(connection, self._take_untold())
            finally:
                discard(connection)
            raise

    def _take_untold(self) -> set[str]:
        untold, self._untold = self._untold, set()
        return untold

    async def _wait(self, seconds: float) -> None:
        """Until there is something to tell, the line has ended, or it is time to ask."""
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return
        self._stirred.clear()

    async def _ask(self, connection: Connection[Record]) -> None:
        """Find out whether one's own word comes back."""
        self._answered.clear()
        await self._say(connection, [_QUESTION])
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._answered.wait()
        except TimeoutError:
            raise _UnheardError from None

    async def _say(self, connection: Connection[Record], words: Iterable[str]) -> None:
        self._step_began_at = self._clock.monotonic()
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.execute(_TELL, sorted(words))
        self._report(None)

    def _report(self, failure: Exception | None) -> None:
        duration = self._clock.monotonic() - self._step_began_at
        self._emit(StoreOperationFinished("announce", duration, kind_of(failure)))

    def _stir(self, _connection: _Talker) -> None:
        self._stirred.set()

    def _hear(self, connection: _Talker, speaker: int, _channel: str, word: object) -> None:
        queue = str(word)
        if speaker == connection.get_server_pid():
            if queue == _QUESTION:
                self._answered.set()
        elif queue != _QUESTION and queue not in self._unheard:
            # All who hear it at once would ask for the same few items.
            self._unheard.add(queue)
            delay_seconds = self._source.uniform(0.0, SPREAD_SECONDS)
            self._loop.call_later(delay_seconds, self._pass_on, queue)

    def _pass_on(self, queue: str) -> None:
        self._unheard.discard(queue)
        if self._heard is not None:
            self._heard(queue)
