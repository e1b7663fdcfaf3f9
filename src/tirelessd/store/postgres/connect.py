"""Connections to the database: made with the right options, checked, never waited for for ever."""

from __future__ import annotations

import socket
from typing import Any, Final

import asyncpg
from asyncpg import Connection, Record

from tirelessd.store.postgres.checks import check_server
from tirelessd.store.postgres.config import PostgresConfig

# A peer that is silent for so long while something is owed to it, or that answers none of the
# questions whether it is there, is gone: the kernel breaks the connection.
SILENCE_SECONDS: Final = 5
KEEPALIVE: Final = {
    "TCP_KEEPIDLE": SILENCE_SECONDS,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": SILENCE_SECONDS * 1000,
}
CHECK_SECONDS: Final = 2.0


def arguments(config: PostgresConfig) -> dict[str, Any]:
    """What every connection is made with, besides its URL."""
    # The URL's own password goes first. Without either the driver looks where libpq would, in the
    # file that PGPASSFILE names for one.
    has_own = "@" in config.url and ":" in config.url.split("//", 1)[1].rpartition("@")[0]
    password = None if has_own else config.password
    return {
        "timeout": config.connect_timeout_seconds,
        "statement_cache_size": config.statement_cache,
        "server_settings": {"application_name": "tirelessd"},
        **({} if password is None else {"password": password}),
    }


async def connect(config: PostgresConfig, url: str) -> Connection[Record]:
    """One connection by itself, checked; raises what the driver raises, or as `check_server`."""
    connection: Connection[Record] = await asyncpg.connect(url, **arguments(config))
    try:
        await prepare(connection, config)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def prepare(connection: Connection[Record], config: PostgresConfig) -> None:
    """Have a fresh connection notice when its peer is gone, and see whom it leads to."""
    keep_watch(connection)
    await check_server(
        connection,
        timeout_seconds=CHECK_SECONDS,
        allows_unsafe_durability=config.allows_unsafe_durability,
    )


def keep_watch(connection: Connection[Record]) -> None:
    """Have the kernel break a connection whose other end has vanished."""
    # The driver has no setting for it, and a server that is switched off says nothing.
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001
    line = transport.get_extra_info("socket")
    if line is None or line.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        # Not every system has each of them.
        if (option := getattr(socket, name, None)) is not None:
            line.setsockopt(socket.IPPROTO_TCP, option, value)
