"""Connections to a real server: apart for what must not wait, and made anew when they break."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from tests.clock import ManualClock
from tests.postgres import PostgresServer, execute, free_port, make_database
from tests.recorder import Recorder
from tests.waiting import wait_until
from tirelessd.core.errors import Misconfigured, StoreUnavailable
from tirelessd.core.events import StoreConnectionTaken
from tirelessd.store.base import Connections
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.postgres.connect import connect
from tirelessd.store.postgres.pools import PostgresPools
from tirelessd.store.postgres.store import PostgresStore

PATIENCE_SECONDS = 10.0
PASSWORD = "correct-horse"
END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def config(url: str, **options: Any) -> PostgresConfig:
    """Where the tests' database is, which is quick rather than durable."""
    return PostgresConfig(url=url, **{"allows_unsafe_durability": True, **options})


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that the tests of this file may stop, on a port."""
    server = PostgresServer(free_port())
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def pools() -> AsyncIterator[PostgresPools]:
    """Open pools on a database of their own."""
    pools = PostgresPools(config(await make_database()), ManualClock(), Recorder())
    await pools.open()
    yield pools
    await pools.close()


async def works(pools: PostgresPools) -> bool:
    """Whether intake has a connection that answers."""
    try:
        async with pools.intake() as connection:
            return bool(await connection.fetchval("SELECT true"))
    except (asyncpg.PostgresError, OSError, StoreUnavailable):
        return False


async def test_connections_are_lent_and_come_back(pools: PostgresPools) -> None:
    """Used while they are lent, idle afterwards, and never more than there may be."""
    async with pools.intake(), pools.reads():
        meanwhile = pools.connections()

    assert meanwhile == Connections(used=2, idle=0, most=10)
    assert pools.connections() == Connections(used=0, idle=2, most=10)


async def test_slots_cannot_take_intakes_connections(pools: PostgresPools) -> None:
    """With every other connection in use, intake has one at once."""
    async with AsyncExitStack() as stack:
        for lend in (pools.slots, pools.slots, pools.reads, pools.reads):
            await stack.enter_async_context(lend())

        assert await works(pools)


async def test_waits_are_told() -> None:
    """Each connection that is taken says how long it took to come by."""
    recorder = Recorder()
    pools = PostgresPools(config(await make_database()), ManualClock(), recorder)
    await pools.open()
    before = len(recorder.of(StoreConnectionTaken))

    async with pools.intake():
        pass

    assert recorder.of(StoreConnectionTaken)[before:] == [StoreConnectionTaken(0.0)]
    await pools.close()


async def test_a_terminated_session_is_replaced(pools: PostgresPools) -> None:
    """`pg_terminate_backend` on every session costs those under way, and no later one."""
    async with pools.intake() as connection:
        await connection.execute(END_OTHERS)
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    assert await works(pools)


async def test_reads_and_writes_outlive_their_sessions() -> None:
    """The server ends every session while it is idle: the next call takes another, and succeeds."""
    url = await make_database()
    store = PostgresStore(
        PostgresPools(config(url), ManualClock(), Recorder()), clock=ManualClock()
    )
    await store.open()
    await store.probe()

    await execute(url, END_OTHERS)

    assert await store.pauses() == []
    await store.probe()
    await store.close()


async def leave_open(pools: PostgresPools) -> None:
    """Fail in the middle of a transaction, as a defect would."""
    async with pools.intake() as connection:
        await connection.execute("BEGIN; LOCK TABLE items")
        raise ZeroDivisionError


async def test_a_transaction_left_open_is_not_handed_on(pools: PostgresPools) -> None:
    """Whoever fails inside one leaves no locks and no doubt to the next."""
    with pytest.raises(ZeroDivisionError):
        await leave_open(pools)

    async with pools.intake() as connection:
        assert not connection.is_in_transaction()
        await connection.execute("BEGIN; LOCK TABLE items NOWAIT; COMMIT")


async def test_a_cancelled_statement_takes_its_connection_along(pools: PostgresPools) -> None:
    """Nobody waits for the rest of an answer that nobody wants any more."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), pools.intake() as connection:
            await connection.execute("SELECT pg_sleep(60)")

    assert pools.connections().used == 0
    assert await works(pools)


async def test_a_restarted_server_is_found_again(server: PostgresServer) -> None:
    """While it is away there is an error at once; afterwards no restart of ours is needed."""
    pools = PostgresPools(config(server.url()), ManualClock(), Recorder())
    await pools.open()
    assert await works(pools)

    server.stop()
    was_away = not await works(pools)
    server.start()

    assert was_away
    await wait_until(lambda: works(pools), PATIENCE_SECONDS)
    await pools.close()


async def test_a_vanished_peer_is_noticed(server: PostgresServer) -> None:
    """The kernel is told to break a connection whose other end says nothing for five seconds."""
    connection = await connect(config(server.url()), server.url())

    line = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # noqa: SLF001

    assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5_000
    await connection.close()


async def opened(url: str, **options: Any) -> None:
    """Open pools on that, and close them."""
    pools = PostgresPools(config(url, **options), ManualClock(), Recorder())
    try:
        await pools.open()
    finally:
        await pools.close()


async def test_a_server_that_is_not_there_may_come() -> None:
    """Nothing listens: the error says where, and that it is worth coming again."""
    port = free_port()

    with pytest.raises(StoreUnavailable, match=f"at 127.0.0.1:{port}/postgres: ") as told:
        await opened(f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres")

    assert PASSWORD not in str(told.value)


async def test_a_database_that_is_not_there_is_a_mistake(server: PostgresServer) -> None:
    """The server says that there is none of that name, and nobody will make one."""
    with pytest.raises(Misconfigured, match='database "nowhere" does not exist'):
        await opened(server.url("nowhere"))


async def test_a_wrong_password_is_a_mistake_and_not_shown(server: PostgresServer) -> None:
    """The line names the user, and neither password; the right one is let in."""
    await opened(server.url())
    await server.ask_for_password("guarded", PASSWORD)
    url = f"postgresql://guarded@127.0.0.1:{server.port}/postgres"

    with pytest.raises(Misconfigured, match='authentication failed for user "guarded"') as told:
        await opened(url, password="wrong-horse")

    assert "horse" not in str(told.value)
    with pytest.raises(Misconfigured, match="permission denied for table schema_versions"):
        await opened(url, password=PASSWORD)


async def test_unsafe_durability_is_refused_unless_allowed(server: PostgresServer) -> None:
    """With fsync off on the server, a power cut would lose what was answered with 202."""
    with pytest.raises(Misconfigured, match="fsync is off on the server"):
        await opened(server.url(), allows_unsafe_durability=False)

    await opened(server.url())


async def test_a_read_only_database_may_become_writable(server: PostgresServer) -> None:
    """As after a fail-over: it is no mistake, and it is said what is the matter."""
    await execute(server.url(), "CREATE DATABASE still")
    await execute(server.url(), "ALTER DATABASE still SET default_transaction_read_only = on")

    with pytest.raises(StoreUnavailable, match="read-only"):
        await opened(server.url("still"))


async def test_another_encoding_is_refused(server: PostgresServer) -> None:
    """Text of callers is Unicode, and every character must come back."""
    latin = "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0"
    await execute(server.url(), latin)

    with pytest.raises(Misconfigured, match="encoding is LATIN1"):
        await opened(server.url("latin"))


async def test_a_database_that_is_moved_into_is_not_used_yet() -> None:
    """Where an embedded store has arrived in part only, a daemon would tell callers of losses."""
    url = await make_database()
    pools = PostgresPools(config(url), ManualClock(), Recorder())
    await pools.open()
    await pools.close()
    await execute(url, "INSERT INTO transfers (source, source_mark) VALUES ('sqlite-1', 1)")

    with pytest.raises(Misconfigured, match="the embedded store sqlite-1 has been moved here in"):
        await pools.open()

    await execute(url, "UPDATE transfers SET finished_at = now()")
    await pools.open()
    await pools.close()
