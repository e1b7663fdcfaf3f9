"""A PostgreSQL server of one's own: as durable as in production, and watched while it works."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from bench.processes import TICKS, BenchFailed
from tests.postgres import PostgresServer, free_port

# A small server as one would set it up. Whatever a power cut could lose stays as PostgreSQL has it.
OPTIONS: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "shared_preload_libraries": "pg_stat_statements",
    # To count each statement takes time, so only what is asked for is counted.
    "pg_stat_statements.track": "none",
}
_BOOKS: Final = """
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal_bytes,
    (SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database) AS transactions,
    (SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements) AS statements,
    (SELECT wal_fpi FROM pg_stat_wal) AS page_images,
    (SELECT coalesce(sum(n_tup_upd), 0) FROM pg_stat_user_tables)::bigint AS updates,
    (SELECT coalesce(sum(n_tup_hot_upd), 0) FROM pg_stat_user_tables)::bigint AS hot_updates
"""


class Accounts(msgspec.Struct, frozen=True):
    """What a server has done so far, and what its processes took; only differences mean much."""

    cpu_seconds: float
    wal_bytes: int
    transactions: int
    statements: int
    page_images: int
    updates: int
    hot_updates: int

    def since(self, before: Accounts) -> Accounts:
        """What was added after `before`."""
        return Accounts(
            *(
                now - then
                for now, then in zip(
                    msgspec.structs.astuple(self), msgspec.structs.astuple(before), strict=True
                )
            )
        )


class Database:
    """A database on a server that runs nothing else."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server = server
        self._name = name
        self.url = server.url(name)

    async def accounts(self) -> Accounts:
        """How much the server has done, with every process of it."""
        [found] = await self.ask(_BOOKS)
        return Accounts(cpu_seconds(self._server.pid), *found.values())

    async def count_statements(self) -> None:
        """From the next connection on, count the statements that are made here."""
        await self.ask(f"ALTER DATABASE {self._name} SET pg_stat_statements.track = 'top'")

    async def ask(self, sql: str) -> list[Any]:
        """The rows of a statement, on a connection of its own."""
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()


class Postgres:
    """A running server."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def make_database(self, name: str) -> Database:
        """A new, empty database."""
        await Database(self._server, "postgres").ask(f"CREATE DATABASE {name}")
        database = Database(self._server, name)
        await database.ask("CREATE EXTENSION pg_stat_statements")
        return database


@contextmanager
def running_postgres(folder: Path) -> Iterator[Postgres]:
    """A server with its data below `folder`, until the context ends."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        server = PostgresServer(free_port(), folder, **OPTIONS)
    except subprocess.CalledProcessError as error:
        raise BenchFailed(
            f"no PostgreSQL could be made in {folder}: is the way there open to everybody?"
            " It never runs as root"
        ) from error
    try:
        server.start()
        yield Postgres(server)
    finally:
        server.remove()


def cpu_seconds(pid: int) -> float:
    """What a process, its children that run and those that have ended took of the processors."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile, and its parent has its time
        if int(folder.name) == pid:
            ticks += sum(map(int, fields[11:15]))
        elif int(fields[1]) == pid:
            ticks += sum(map(int, fields[11:13]))
    return ticks / TICKS
