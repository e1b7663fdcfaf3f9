"""What SQLite's errors mean here: for the connection they came from, and for callers."""

from __future__ import annotations

import errno
from enum import Enum, auto
from typing import Final

import apsw

from tirelessd.core.errors import (
    StartError,
    StoreFull,
    StoreUnavailable,
    TirelessdError,
    UnstorableValue,
)

# EFBIG: the file may grow no further (a quota, `ulimit -f`), which is no less full.
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_VALUE_ERRORS: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.SQLError,
    apsw.TooBigError,
)


class Fault(Enum):
    """Whose fault an error is, and so what may be used on.

    VALUE: one operation's own; everything else is sound. FULL, BUSY, SLOW: the moment's; nothing
    happened, and the connection is sound. BROKEN: the connection must not be used again, for the
    kernel drops the dirty pages of a failed fsync and lets a second one succeed.
    """

    VALUE = auto()
    FULL = auto()
    BUSY = auto()
    SLOW = auto()
    BROKEN = auto()


def fault_of(error: Exception, system_errno: int = 0) -> Fault:
    """Tell whose fault it is; `system_errno` is what the connection had from the kernel."""
    if isinstance(error, apsw.FullError) or _is_refused_write(error, system_errno):
        return Fault.FULL
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Fault.BUSY
    if isinstance(error, apsw.InterruptError):
        return Fault.SLOW
    if isinstance(error, _VALUE_ERRORS) or not isinstance(error, apsw.Error | TirelessdError):
        return Fault.VALUE
    return Fault.BROKEN


def _is_refused_write(error: Exception, system_errno: int) -> bool:
    """Whether the kernel refused to write for want of room; an fsync that fails so is worse."""
    code = getattr(error, "extendedresult", None)
    return code == apsw.SQLITE_IOERR_WRITE and system_errno in _NO_ROOM


def store_error(error: Exception, fault: Fault) -> Exception:
    """The error for the caller of something that did not happen."""
    if isinstance(error, StartError):
        return StoreUnavailable(str(error))
    if not isinstance(error, apsw.Error):
        return error
    if fault is Fault.FULL:
        return StoreFull("the disk or its quota has no room for the database; make some")
    if fault is Fault.BUSY:
        return StoreUnavailable("another process holds the database's write lock", "busy")
    if fault is Fault.SLOW:
        return StoreUnavailable("the read took too long", "timeout")
    kind = UnstorableValue if fault is Fault.VALUE else StoreUnavailable
    return kind(f"SQLite: {error}")
