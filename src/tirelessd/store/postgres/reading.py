"""One read: bounded, in one moment of the database, and begun anew when its session has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

from asyncpg import Connection, PostgresError, Record

from tirelessd.store.postgres.faults import Fault, fault_of
from tirelessd.store.postgres.pools import Borrowed
from tirelessd.store.postgres.transaction import begin_read, discard, roll_back

# The longest a single read may take; a count of a million items takes a fraction of a second.
READ_SECONDS: Final = 5.0
# What a server that does not answer at all is given beyond that.
GRACE_SECONDS: Final = 1.0

P = ParamSpec("P")
T = TypeVar("T")

_Connect = Callable[[], Borrowed]
_Read = Callable[Concatenate["Connection[Record]", P], Awaitable[T]]


async def read_from(connect: _Connect, read: _Read[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the statements of `read` find; raises what the driver raises.

    A session that ended unseen since it was last used costs no caller anything. Nobody waits twice.
    """
    is_connected = False
    try:
        async with connect() as connection:
            is_connected = True
            return await _read_on(connection, read, *args, **kwargs)
    except Exception as error:
        is_lost = fault_of(error) is Fault.BROKEN and not isinstance(error, TimeoutError)
        if not (is_connected and is_lost):
            raise
    async with connect() as connection:
        return await _read_on(connection, read, *args, **kwargs)


async def _read_on(
    connection: Connection[Record], read: _Read[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    try:
        async with asyncio.timeout(READ_SECONDS + GRACE_SECONDS):
            await connection.execute(begin_read(READ_SECONDS))
            found = await read(connection, *args, **kwargs)
            await connection.execute("COMMIT")
            return found
    except PostgresError:
        await roll_back(connection)
        raise
    except BaseException:
        discard(connection)
        raise
