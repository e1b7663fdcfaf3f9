"""What PostgreSQL's errors mean here: for the connection they came from, and for callers."""

from __future__ import annotations

import ssl
from enum import Enum, auto
from typing import Final

import asyncpg

from tirelessd.core.errors import (
    Misconfigured,
    StoreErrorKind,
    StoreFull,
    StoreUnavailable,
    TirelessdError,
    UnstorableValue,
)
from tirelessd.store.postgres.checks import FORGOTTEN, POOLER

# SQLSTATE values and classes (PostgreSQL's documentation, appendix A).
_VALUE_CLASSES: Final = ("21", "22", "23")
_BUSY_STATES: Final = ("55P03", "40001", "40P01")
_FULL_STATES: Final = ("53100", "54000")
_SLOW_STATES: Final = ("57014",)
# Connections refused, lost, or ended by the server, which is full, starts, stops or reads only.
_PASSING_CLASSES: Final = ("08", "53", "57")
_PASSING_STATES: Final = ("25006", "25P03", "0A000")
# The driver's own ones come from a connection that has got the server's last word, but not yet its
# end: it refuses to begin anything. Taken for a value's fault they would end items for no reason.
_BREAKING: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    TirelessdError,
)


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
    # A certificate that does not fit is one of Python's value errors as well.
    if state[:2] not in _VALUE_CLASSES and isinstance(error, _BREAKING):
        return Fault.BROKEN
    return Fault.VALUE


def store_error(error: Exception, fault: Fault) -> Exception:
    """The error for the caller of something that did not happen."""
    if isinstance(error, Misconfigured):
        return StoreUnavailable(str(error), "connection")
    if isinstance(error, TirelessdError):
        return error
    text = f"PostgreSQL: {words_of(error)}"
    if fault is Fault.FULL:
        return StoreFull(text)
    if fault is Fault.VALUE:
        return UnstorableValue(text)
    kinds: dict[Fault, StoreErrorKind] = {Fault.BUSY: "busy", Fault.SLOW: "timeout"}
    kind = "timeout" if isinstance(error, TimeoutError) else kinds.get(fault, "connection")
    return StoreUnavailable(text, kind)


def start_error(error: Exception, place: str) -> TirelessdError:
    """The error for a store that could not be opened.

    `Misconfigured` when only an operator can mend it, `StoreUnavailable` when it may pass.
    """
    error = _first_of(error)
    text = f"PostgreSQL at {place}: {words_of(error)}"
    if isinstance(error, Misconfigured):
        return Misconfigured(text)
    if isinstance(error, StoreUnavailable):
        return StoreUnavailable(text, error.kind)
    return StoreUnavailable(text, "connection") if is_passing(error) else Misconfigured(text)


def _first_of(error: Exception) -> Exception:
    """What went wrong first: a connection that broke cannot end its transaction either."""
    while _is_of_closed(error) and isinstance(error.__context__, Exception):
        error = error.__context__
    return error


def _is_of_closed(error: Exception) -> bool:
    # The driver has one kind of error for whatever it does not do, a wrong option included.
    return type(error) is asyncpg.InterfaceError and "connection is closed" in str(error)


def is_passing(error: Exception) -> bool:
    """Whether the same may go well later, with nothing changed here."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        is_moment = fault_of(error) in {Fault.BUSY, Fault.SLOW}
        return is_moment or state[:2] in _PASSING_CLASSES or state in _PASSING_STATES
    if isinstance(error, asyncpg.InternalClientError) or _is_of_closed(error):
        return True
    # A certificate that does not fit is an error of the system, too, and will fit no better later.
    return isinstance(error, OSError | TimeoutError) and not isinstance(error, ssl.SSLError)


def words_of(error: Exception) -> str:
    """One line for people. Without the server's detail, which may quote what callers sent."""
    if isinstance(error, asyncpg.PostgresError):
        # Its own text goes on with detail and hint.
        text = str(error.args[0]) if error.args else ""
        if isinstance(error, FORGOTTEN):
            text = f"{text}; {POOLER}"
    elif isinstance(error, TimeoutError) and not str(error):
        text = "no answer in time"
    else:
        text = str(error)
    return " ".join(text.split()) or type(error).__name__
