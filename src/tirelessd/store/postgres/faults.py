"""What PostgreSQL's errors mean here: for the connection they came from, and for callers."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import asyncpg

from tirelessd.core.errors import (
    StoreErrorKind,
    StoreFull,
    StoreUnavailable,
    TirelessdError,
    UnstorableValue,
)

# SQLSTATE classes (PostgreSQL's documentation, appendix A).
_VALUE_CLASSES: Final = ("21", "22", "23")
_BUSY_STATES: Final = ("55P03", "40001", "40P01")
_FULL_STATES: Final = ("53100", "54000")
_SLOW_STATES: Final = ("57014",)


class Fault(Enum):
    """Whose fault an error is, and so what may be used on.

    VALUE: one operation's own; everything else is sound. FULL, BUSY, SLOW: the moment's; nothing
    happened, and the connection is sound. BROKEN: the connection must not be used again.
    """

    VALUE = auto()
    FULL = auto()
    BUSY = auto()
    SLOW = auto()
    BROKEN = auto()


def fault_of(error: Exception) -> Fault:
    """Tell whose fault it is."""
    state = getattr(error, "sqlstate", None) or ""
    if state in _FULL_STATES:
        return Fault.FULL
    if state in _BUSY_STATES:
        return Fault.BUSY
    if state in _SLOW_STATES:
        return Fault.SLOW
    if state[:2] in _VALUE_CLASSES or isinstance(error, asyncpg.DataError | ValueError):
        return Fault.VALUE
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | OSError | TirelessdError):
        return Fault.BROKEN
    return Fault.BROKEN if isinstance(error, TimeoutError) else Fault.VALUE


def store_error(error: Exception, fault: Fault) -> Exception:
    """The error for the caller of something that did not happen."""
    if isinstance(error, TirelessdError):
        return error
    text = f"PostgreSQL: {str(error) or type(error).__name__}"
    if fault is Fault.FULL:
        return StoreFull(text)
    if fault is Fault.VALUE:
        return UnstorableValue(text)
    kinds: dict[Fault, StoreErrorKind] = {Fault.BUSY: "busy", Fault.SLOW: "timeout"}
    return StoreUnavailable(text, kinds.get(fault, "connection"))
