"""What the driver's errors mean: whose fault each is, and whether it may pass."""

from __future__ import annotations

import asyncpg
import pytest
from asyncpg import Connection, Record

from tests.postgres import make_database
from tirelessd.core.errors import Misconfigured, StoreUnavailable
from tirelessd.store.postgres.faults import Fault, fault_of, start_error

ENDED = asyncpg.InternalClientError("cannot switch to state 15; another operation is in progress")
CLOSED = asyncpg.InterfaceError(
    "cannot call Transaction.__aexit__(): the underlying connection is closed"
)
FAULTS = {
    ENDED: Fault.BROKEN,
    asyncpg.AdminShutdownError("terminating connection"): Fault.BROKEN,
    asyncpg.ConnectionDoesNotExistError("closed in the middle of operation"): Fault.BROKEN,
    asyncpg.InterfaceError("connection is closed"): Fault.BROKEN,
    asyncpg.InsufficientPrivilegeError("permission denied"): Fault.BROKEN,
    ConnectionResetError(): Fault.BROKEN,
    TimeoutError(): Fault.BROKEN,
    asyncpg.DiskFullError("could not extend file"): Fault.FULL,
    asyncpg.LockNotAvailableError("lock timeout"): Fault.BUSY,
    asyncpg.QueryCanceledError("statement timeout"): Fault.SLOW,
    asyncpg.CharacterNotInRepertoireError("invalid byte sequence"): Fault.VALUE,
    asyncpg.DataError("invalid input for query argument"): Fault.VALUE,
}


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_only_a_value_s_own_error_is_its_fault(error: Exception) -> None:
    """What a connection or the moment is to blame for never ends an item."""
    assert fault_of(error) is FAULTS[error]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ENDED, StoreUnavailable),
        (CLOSED, StoreUnavailable),
        (asyncpg.InterfaceError("sslmode is not for sockets"), Misconfigured),
        (ConnectionRefusedError(), StoreUnavailable),
        (asyncpg.CannotConnectNowError("starting up"), StoreUnavailable),
        (asyncpg.InvalidPasswordError("no"), Misconfigured),
        (asyncpg.InvalidCatalogNameError("no such database"), Misconfigured),
    ],
    ids=repr,
)
def test_a_start_waits_for_what_may_pass(error: Exception, kind: type[Exception]) -> None:
    """A session that is ended during the start is no mistake of the operator's."""
    assert type(start_error(error, "there")) is kind


async def break_within(connection: Connection[Record]) -> None:
    """End a session in the middle of a transaction."""
    async with connection.transaction():
        try:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        finally:
            connection.terminate()


async def test_what_broke_a_connection_is_told_and_not_what_follows() -> None:
    """The end of a transaction that has lost its connection says nothing of why."""
    connection = await asyncpg.connect(await make_database())

    with pytest.raises(asyncpg.InterfaceError) as found:
        await break_within(connection)

    told = start_error(found.value, "there")
    assert type(told) is StoreUnavailable
    assert "terminating connection due to administrator command" in str(told)
