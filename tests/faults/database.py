"""A PostgreSQL server that experiments may hurt, and what lies in its databases afterwards."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.faults.books import HEAD_BYTES, Row
from tests.faults.upstream import words_of
from tests.postgres import PostgresServer, execute, free_port

# As people run it: what is accepted is on the disk. Few sessions, so that they can be eaten up.
HONEST = {"fsync": "on", "full_page_writes": "on", "max_connections": "40"}
USER = "worker"

_ROWS = """
SELECT items.id::text, items.state, items.attempts, items.generation,
    substring(payloads.content FOR $1)
FROM items LEFT JOIN payloads USING (id)
"""
_TIMEOUTS = """
SELECT id::text, attempt, started_at FROM failures WHERE reason = 'timeout'
"""
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND application_name <> $2
"""


def make_server() -> PostgresServer:
    """A server on a port of loopback, started, with a user that has no more rights than needed."""
    server = PostgresServer(free_port(), None, **HONEST)
    server.start()
    return server


@dataclass(frozen=True)
class Database:
    """One database, owned by a plain user; `port` is the server's."""

    server: PostgresServer
    name: str
    port: int

    @property
    def url(self) -> str:
        """What the daemons are told."""
        return self.url_through(self.port)

    def url_through(self, port: int) -> str:
        """Where it is for those who come through a port of somebody between."""
        return f"postgresql://{USER}@127.0.0.1:{port}/{self.name}"

    async def execute(self, sql: str) -> None:
        """Say something to it as an operator who may do anything, past any proxy."""
        await execute(self.server.url(self.name), sql)

    async def fetch(self, sql: str, *values: str) -> list[asyncpg.Record]:
        """Ask it something as such an operator."""
        connection = await asyncpg.connect(self.server.url(self.name))
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def end_sessions(self, but: str = "") -> int:
        """Have the server end the sessions of its user but those of that name; how many it were."""
        return len(await self.fetch(_END_SESSIONS, USER, but))

    async def move_to(self, folder: Path) -> None:
        """Keep what it has to store in another folder from now on; nobody may be using it."""
        self.server.give(folder)
        space = f"space_{self.name}"
        await execute(self.server.url(), f"CREATE TABLESPACE {space} LOCATION '{folder}'")
        await execute(self.server.url(), f"ALTER DATABASE {self.name} SET TABLESPACE {space}")

    async def leave(self) -> None:
        """Go from where it was moved to: no checkpoint succeeds while its files are missing."""
        await execute(self.server.url(), f"DROP DATABASE {self.name} WITH (FORCE)")
        await execute(self.server.url(), f"DROP TABLESPACE space_{self.name}")

    async def rows(self) -> dict[str, Row]:
        """The items in it, by id."""
        connection = await asyncpg.connect(self.server.url(self.name))
        try:
            found = await connection.fetch(_ROWS, HEAD_BYTES)
            timeouts = await connection.fetch(_TIMEOUTS)
        finally:
            await connection.close()
        timed_out: dict[str, dict[int, float]] = defaultdict(dict)
        for item_id, attempt, started_at in timeouts:
            timed_out[item_id][attempt] = started_at
        return {
            item_id: Row(
                item_id,
                words_of(head or b"")[1],
                state,
                attempts,
                generation,
                timed_out[item_id],
            )
            for item_id, state, attempts, generation, head in found
        }


async def make_database(server: PostgresServer) -> Database:
    """A new, empty database on a server that runs."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    create = f"CREATE ROLE {USER} LOGIN"
    await execute(
        server.url(),
        f"DO $$ BEGIN {create}; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    )
    await execute(server.url(), f"CREATE DATABASE {name} OWNER {USER} STRATEGY file_copy")
    assert server.port is not None
    return Database(server, name, server.port)
