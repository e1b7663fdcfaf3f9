"""P10 of the shared store: a database that cannot be used is named in one line, or waited for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import asyncpg
import msgspec
import pytest

from tests.faults.experiment import configuration
from tests.faults.process import DaemonProcess
from tests.postgres import PostgresServer, execute, free_port
from tests.waiting import wait_until
from tirelessd.store.postgres.migrate import bring_up

pytestmark = [pytest.mark.row("P10"), pytest.mark.unhurried]

HANDLERS = "http://127.0.0.1:9/"
SECRET = "S3CRET-and-nobody-elses"
# Many may start at once, on a machine that does other things, too.
END_SECONDS = 20.0
# What a daemon in service is promised to need, once the database is there.
HEAL_SECONDS = 5.0
ROLES = """
CREATE ROLE reader LOGIN IN ROLE pg_read_all_data;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that keeps what it is told, on a port; its databases are not made yet."""
    server = PostgresServer(free_port(), fsync="on")
    server.start()
    yield server
    server.remove()


def shared(folder: Path, url: str) -> DaemonProcess:
    """A daemon on this database, not yet started."""
    folder.mkdir(exist_ok=True)
    config = configuration(folder, HANDLERS, store=url)
    return DaemonProcess(folder, config)


async def migrate(folder: Path, url: str, *options: str) -> tuple[int, str]:
    """Run `tirelessd migrate` on this database; its exit code and all that it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tirelessd", "migrate", "--config", "tirelessd.yaml", *options),
        cwd=shared(folder, url).folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), END_SECONDS)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def bring_up_at(url: str) -> None:
    """Make the tables of a database."""
    connection = await asyncpg.connect(url)
    try:
        await bring_up(connection, is_migrating=True)
    finally:
        await connection.close()


async def last_words(daemon: DaemonProcess) -> tuple[int, list[str]]:
    """How a daemon ended that must not start: the exit code, and all it said beside its log."""
    await daemon.launch()
    try:
        return await daemon.wait(END_SECONDS), daemon.stray_output
    finally:
        await daemon.kill()


async def test_what_only_people_can_mend_is_one_line(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Exit code 2, and a line that names setting, place and cause, and never a password."""
    await execute(server.url(), ROLES)
    await server.ask_for_password("guarded", "right")
    await bring_up_at(server.url())
    await execute(server.url(), "CREATE DATABASE newer TEMPLATE template0")
    await bring_up_at(server.url("newer"))
    await execute(server.url("newer"), "INSERT INTO schema_versions VALUES (99, 'next', 98)")
    place = f"127.0.0.1:{server.port}"

    def login(user: str, database: str = "postgres") -> str:
        return f"postgresql://{user}:{SECRET}@{place}/{database}"

    mistakes = {
        login("guarded"): "authentication failed for user",
        login("postgres", "none"): 'database "none" does not exist',
        login("reader"): "must not read or change the table commits; "
        "GRANT SELECT, INSERT, UPDATE, DELETE",
        server.url("newer"): "its schema has version 99, which needs a tirelessd of schema 98",
    }
    daemons = [shared(tmp_path / str(number), url) for number, url in enumerate(mistakes)]

    ends = await asyncio.gather(*(last_words(daemon) for daemon in daemons))

    assert [code for code, _ in ends] == [2] * len(mistakes)
    for (_, [line]), cause in zip(ends, mistakes.values(), strict=True):
        assert line.startswith("tirelessd: store: ")
        assert cause in line
        assert place in line
    everything = [[daemon.lines, daemon.stray_output] for daemon in daemons]
    assert SECRET not in str(everything)


@pytest.mark.long
async def test_two_migrations_at_once_are_one(server: PostgresServer, tmp_path: Path) -> None:
    """Each step is applied by one of two processes; the other waits, and finds it done."""
    await execute(server.url(), "CREATE DATABASE twice")
    url = server.url("twice")

    both = await asyncio.gather(*(migrate(tmp_path / side, url) for side in ("left", "right")))

    assert [code for code, _ in both] == [0, 0]
    said = "".join(words for _, words in both)
    assert said.count("applied 0001 first") == 1
    assert said.count("applied 0002 transfers") == 1


class Waiting:
    """A daemon whose database is not there, as probes and callers meet it."""

    def __init__(self, daemon: DaemonProcess, session: aiohttp.ClientSession) -> None:
        self.daemon = daemon
        self._session = session

    async def cause(self) -> str:
        """What `/readyz` says of the store; empty when there is nothing wrong."""
        if "ops" not in self.daemon.urls:
            return ""
        async with self._session.get(self.daemon.urls["ops"] + "/readyz") as response:
            return str(msgspec.json.decode(await response.read())["failing"].get("store", ""))

    async def wait_for(self, cause: str, seconds: float = END_SECONDS) -> None:
        """Return once this is the cause."""

        async def is_told() -> bool:
            return cause in await self.cause()

        await wait_until(is_told, seconds)

    async def answers(self) -> tuple[int, int, str | None]:
        """Whether it lives, what it says to a caller, and when that may come again."""

        async def is_listening() -> bool:
            return "api" in self.daemon.urls

        await wait_until(is_listening, END_SECONDS)
        alive = await self.daemon.probe(self._session, "/livez")
        url = self.daemon.urls["api"] + "/v1/queues/work/items"
        async with self._session.post(url, data=b"x") as response:
            return alive, response.status, response.headers.get("Retry-After")

    async def heal(self) -> None:
        """Return once it is ready; fails when that takes longer than is promised."""

        async def is_ready() -> bool:
            return await self.daemon.probe(self._session) == 200

        await wait_until(is_ready, HEAL_SECONDS)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Connections to the daemon."""
    async with aiohttp.ClientSession() as session:
        yield session


AWAY = (200, 503, "1")


async def test_a_database_that_comes_later_is_waited_for(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """Nobody there, then a server that starts, then a standby: alive, not ready, and why.

    It is ready within five seconds once the standby is promoted, by itself.
    """
    server = PostgresServer(free_port(), fsync="on")
    server.stand_by()
    daemon = shared(tmp_path, server.url().replace("postgres@", f"postgres:{SECRET}@"))
    waiting = Waiting(daemon, session)
    await daemon.launch()
    try:
        await waiting.wait_for("Connection refused")
        assert await waiting.answers() == AWAY

        server.start(is_awaited=False, hot_standby="off")
        await waiting.wait_for("the database system is")
        assert await waiting.answers() == AWAY

        server.stop("immediate")
        server.start()
        await waiting.wait_for("the server is a read-only standby")
        assert await waiting.answers() == AWAY

        await execute(server.url(), "SELECT pg_promote()")
        await waiting.heal()
    finally:
        await daemon.kill()
        server.remove()
    assert SECRET not in str(daemon.lines)
    assert daemon.tracebacks() == []


@pytest.mark.long
async def test_a_crowded_server_is_waited_for(
    server: PostgresServer, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """A server that has no connection left for the daemon may have one soon."""
    await execute(server.url(), "CREATE DATABASE crowded")
    await bring_up_at(server.url("crowded"))
    await execute(server.url(), "ALTER DATABASE crowded CONNECTION LIMIT 1")
    await execute(
        server.url(), "CREATE ROLE guest LOGIN IN ROLE pg_read_all_data, pg_write_all_data"
    )
    url = f"postgresql://guest@127.0.0.1:{server.port}/crowded"
    other = await asyncpg.connect(url)
    daemon = shared(tmp_path, url)
    waiting = Waiting(daemon, session)
    await daemon.launch()
    try:
        await waiting.wait_for("too many connections")
        assert await waiting.answers() == AWAY

        await other.close()
        await execute(server.url(), "ALTER DATABASE crowded CONNECTION LIMIT -1")
        await waiting.heal()
    finally:
        await daemon.kill()


@pytest.mark.long
async def test_a_name_that_nobody_knows_is_waited_for(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """A name may be made known later, as that of a Service is; the cause names the host."""
    daemon = shared(tmp_path, f"postgresql://u:{SECRET}@nowhere.invalid/x")
    waiting = Waiting(daemon, session)
    await daemon.launch()
    try:
        await waiting.wait_for("PostgreSQL at nowhere.invalid/x: ")
        assert await waiting.answers() == AWAY
    finally:
        await daemon.kill()
    assert SECRET not in str(daemon.lines)
