"""Connections to the database, in pools that cannot starve one another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final, Protocol, cast

import asyncpg
from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy
from tenacity import AsyncRetrying, retry_if_exception, stop_before_delay, wait_random_exponential

from tirelessd.core.clock import Clock
from tirelessd.core.errors import StoreUnavailable, TirelessdError
from tirelessd.core.events import Emit, StoreConnectionTaken
from tirelessd.store.base import Connections
from tirelessd.store.postgres.checks import check_statements, check_whole
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.postgres.connect import CHECK_SECONDS, arguments, connect, prepare
from tirelessd.store.postgres.faults import is_passing, start_error
from tirelessd.store.postgres.migrate import bring_up

# A server that restarts is back within so long, often; callers are answered well before a second.
RETRY_SECONDS: Final = 0.4
CLOSE_SECONDS: Final = 2.0
# An idle connection costs the server some megabytes.
IDLE_SECONDS: Final = 60.0
# The driver renews a connection after so many statements; there is no need to.
QUERIES: Final = 2**53

Borrowed = AbstractAsyncContextManager["Connection[Record]"]


class Pools(Protocol):
    """Connections, apart for what must not wait for each other."""

    async def open(self) -> None:
        """Reach the database; raises `StartError` when it must not be used."""
        ...

    async def close(self) -> None:
        """Let go of every connection; idempotent."""
        ...

    def intake(self) -> Borrowed:
        """For accepting."""
        ...

    def slots(self) -> Borrowed:
        """For claiming and settling."""
        ...

    def upkeep(self) -> Borrowed:
        """For what operators and upkeep change."""
        ...

    def reads(self) -> Borrowed:
        """For whatever changes nothing."""
        ...

    def hints(self) -> Borrowed:
        """For what processes tell each other; outside of all pools."""
        ...

    @property
    def carry_hints(self) -> bool:
        """Whether there is a way to the database on which notifications may be heard."""
        ...

    def connections(self) -> Connections:
        """How many there are, and may be."""
        ...


class PostgresPools(Pools):
    """Connections, apart for what must not wait for each other.

    `emit` hears how long each took to come by.
    """

    def __init__(self, config: PostgresConfig, clock: Clock, emit: Emit) -> None:
        self._config = config
        self._clock = clock
        self._emit = emit
        self._pools: Mapping[str, asyncpg.Pool[Record]] = {}

    async def open(self) -> None:
        """Reach the database, check it, bring its schema up, if this is to be done at start.

        Raises `Misconfigured`, or `StoreUnavailable` when it may go well later: then this may be
        called again.
        """
        config = self._config
        try:
            async with passing(config, config.direct_url or config.url) as connection:
                await bring_up(connection, is_migrating=config.is_migrating)
            if config.statement_cache:
                async with passing(config, config.url) as one, passing(config, config.url) as other:
                    await check_statements(one, other, timeout_seconds=CHECK_SECONDS)
            self._pools = {
                "intake": await self._make(config.intake_connections),
                "slots": await self._make(config.slots_connections),
                "upkeep": await self._make(config.upkeep_connections),
                "reads": await self._make(config.read_connections),
            }
            # By a session that stays: whoever begins to move a store here looks for sessions next.
            async with self.reads() as connection:
                await check_whole(connection, timeout_seconds=CHECK_SECONDS)
        except Exception as error:
            await self.close()
            raise start_error(error, config.place) from error

    async def _make(self, size: int) -> asyncpg.Pool[Record]:
        async def prepare_one(connection: Connection[Record]) -> None:
            await prepare(connection, self._config)

        return await asyncpg.create_pool(
            self._config.url,
            min_size=0,
            max_size=size,
            max_queries=QUERIES,
            max_inactive_connection_lifetime=IDLE_SECONDS,
            init=prepare_one,
            # There is no state of a session to undo, and to ask for it costs a round trip.
            reset=nothing_to_reset,
            **arguments(self._config),
        )

    async def close(self) -> None:
        """Let go of every connection, in bounded time; idempotent."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    def connections(self) -> Connections:
        """How many there are now, at most as many as the bound, and how many of them are in use."""
        pools = self._pools.values()
        size, idle = sum(each.get_size() for each in pools), sum(e.get_idle_size() for e in pools)
        return Connections(size - idle, idle, sum(each.get_max_size() for each in pools))

    def intake(self) -> Borrowed:
        """For accepting."""
        return self._lend("intake")

    def slots(self) -> Borrowed:
        """For claiming and settling."""
        return self._lend("slots")

    def upkeep(self) -> Borrowed:
        """For what operators and upkeep change."""
        return self._lend("upkeep")

    def reads(self) -> Borrowed:
        """For whatever changes nothing."""
        return self._lend("reads")

    @property
    def carry_hints(self) -> bool:
        """Whether there is a way past a transaction pooler, or none to get past."""
        return self._config.direct_url is not None or self._config.statement_cache > 0

    def hints(self) -> Borrowed:
        """For what processes tell each other; of no pool."""
        return passing(self._config, self._config.direct_url or self._config.url)

    @asynccontextmanager
    async def _lend(self, name: str) -> AsyncIterator[Connection[Record]]:
        if not self._pools:
            raise StoreUnavailable("the database has not been reached yet", "connection")
        pool = self._pools[name]
        lent = await self._take(pool)
        # The pool's stand-in for a connection has all of its methods.
        connection = cast("Connection[Record]", lent)
        try:
            yield connection
        except BaseException as error:
            await self._look_after(connection, error)
            raise
        finally:
            await pool.release(lent, timeout=CLOSE_SECONDS)

    async def _take(self, pool: asyncpg.Pool[Record]) -> PoolConnectionProxy[Record]:
        """A connection; a server that refuses one is asked again, but not for long."""
        started_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._config.connect_timeout_seconds + CHECK_SECONDS):
                try:
                    # Without the machinery of repeating, which costs more than the connection.
                    return await acquire(pool)
                except Exception as error:
                    if not is_refusal(error):
                        raise
                return await acquire_after_refusal(pool)
        finally:
            self._emit(StoreConnectionTaken(self._clock.monotonic() - started_at))

    async def _look_after(self, connection: Connection[Record], error: BaseException) -> None:
        """Throw a connection away that may be in the middle of anything."""
        # One that was thrown away already is the pool's again, and answers nothing.
        with suppress(asyncpg.InterfaceError):
            is_told = isinstance(error, asyncpg.PostgresError | TirelessdError)
            if not is_told or connection.is_in_transaction():
                connection.terminate()
        if isinstance(error, TimeoutError):
            # A server that went without a word has left all other connections dead as well.
            for pool in self._pools.values():
                await pool.expire_connections()


async def acquire(pool: asyncpg.Pool[Record]) -> PoolConnectionProxy[Record]:
    """A connection of the pool, made now if none is idle."""
    return await pool.acquire()


async def acquire_after_refusal(pool: asyncpg.Pool[Record]) -> PoolConnectionProxy[Record]:
    """A connection of a server that has just refused one; raises its last refusal."""
    retrying = AsyncRetrying(
        retry=retry_if_exception(is_refusal),
        wait=wait_random_exponential(multiplier=0.05, max=0.2),
        stop=stop_before_delay(RETRY_SECONDS),
        reraise=True,
    )
    return await retrying(acquire, pool)


def is_refusal(error: BaseException) -> bool:
    """Whether a server was there, or nearly, and would not have us; not one that says nothing."""
    if not isinstance(error, asyncpg.PostgresError | OSError) or isinstance(error, TimeoutError):
        return False
    return is_passing(error)


@asynccontextmanager
async def passing(config: PostgresConfig, url: str) -> AsyncIterator[Connection[Record]]:
    """A connection of no pool, for once."""
    connection = await connect(config, url)
    try:
        yield connection
    finally:
        await leave(connection)


async def leave(connection: Connection[Record]) -> None:
    """Say goodbye, and go, whether there is an answer or not."""
    try:
        await connection.close(timeout=CLOSE_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


async def nothing_to_reset(_connection: object) -> None:
    """No state of a session outlasts a transaction here."""
