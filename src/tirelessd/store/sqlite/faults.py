"""What SQLite's errors mean here: for callers, and for the connection they came from."""

from __future__ import annotations

import errno
from typing import Final

import apsw

from tirelessd.core.errors import StartError, StoreFull, StoreUnavailable, TirelessdError

# EFBIG: the file may grow no further (a quota, `ulimit -f`), which is no less full.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# The fault of one value handed in; the connection and everybody else's write are sound.
_VALUE_FAULTS: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.SQLError,
    apsw.TooBigError,
)
_PASSING: Final = (apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.InterruptError)


def is_value_fault(error: Exception) -> bool:
    """Whether one operation's own values caused it, so that the others may be tried without it."""
    return isinstance(error, _VALUE_FAULTS) or not isinstance(error, apsw.Error | TirelessdError)


def is_handle_sound(error: Exception) -> bool:
    """Whether the connection may be used again; after an I/O error it may not.

    The kernel drops the dirty pages of a failed fsync, and a second fsync reports success.
    """
    return isinstance(error, _PASSING) or is_value_fault(error)


def store_error(error: Exception, system_errno: int = 0) -> Exception:
    """The error for the caller of something that did not happen."""
    if isinstance(error, apsw.FullError) or (
        isinstance(error, apsw.Error) and not is_value_fault(error) and system_errno in _NO_ROOM
    ):
        return StoreFull("the disk or its quota has no room for the database; free some")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreUnavailable("another process holds the database's write lock", "busy")
    if isinstance(error, apsw.InterruptError):
        return StoreUnavailable("the read took too long", "timeout")
    if isinstance(error, StartError):
        return StoreUnavailable(str(error))
    if isinstance(error, apsw.Error):
        return StoreUnavailable(f"SQLite: {error}")
    return error
