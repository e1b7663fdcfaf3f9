"""What an attempt came to, in closed words, and which failures are worth another try.

Failures arrive as exceptions. `Classifier` turns one into a `Failure`: a reason of the closed set,
a bounded detail, and whether it may be retried. This is the only place that knows the defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Final

import msgspec

from tirelessd.core.errors import AttemptError

# Enough for any message and the start of an error page; history and log hold millions of these.
DETAIL_MAX_CHARACTERS: Final = 1_000
# The client errors that time may mend: timeout, too early, too many (RFC 9110, RFC 8470, RFC 6585).
RETRIED_STATUSES: Final = frozenset({408, 425, 429})


class Reason(StrEnum):
    """Why an attempt did not succeed; a label value, so the set is closed."""

    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_429 = "http_429"
    HTTP_5XX = "http_5xx"
    TIMEOUT = "timeout"
    CONNECT = "connect"
    TLS = "tls"
    PROTOCOL = "protocol"
    HANDLER = "handler"
    PERMANENT = "permanent"
    LEASE_LOST = "lease_lost"
    DRAIN = "drain"


STANDARD_KINDS: Final[Mapping[Reason, tuple[type[Exception], ...]]] = {
    Reason.TIMEOUT: (TimeoutError,),
    Reason.CONNECT: (ConnectionError,),
}
"""The types by which Python knows failures that have a reason here."""


class DeadReason(StrEnum):
    """Why an item ended dead."""

    MAX_ATTEMPTS = "max_attempts"
    EXPIRED = "expired"
    LEASE_LOST = "lease_lost"
    PERMANENT = "permanent"
    NOT_RETRIABLE = "not_retriable"


class Outcome(StrEnum):
    """What one attempt is counted as."""

    SUCCESS = "success"
    RETRY = "retry"
    GIVE_UP = "give_up"
    RELEASED = "released"


class Failure(msgspec.Struct, frozen=True):
    """A classified failure; `detail` is at most `DETAIL_MAX_CHARACTERS` of printable text."""

    reason: Reason
    detail: str
    status: int | None = None
    retry_after_seconds: float | None = None
    is_retriable: bool = True


def reason_of_status(status: int) -> Reason:
    """The reason for an upstream's status that is not 2xx."""
    if status == 429:
        return Reason.HTTP_429
    if 300 <= status < 400:
        return Reason.HTTP_3XX
    if 400 <= status < 500:
        return Reason.HTTP_4XX
    if 500 <= status < 600:
        return Reason.HTTP_5XX
    return Reason.PROTOCOL


def bounded_text(text: str) -> str:
    """The text on one line, cut, with what cannot be printed escaped: safe for a log or a page."""
    # Cut first: a handler may hand in megabytes.
    cut = text[:DETAIL_MAX_CHARACTERS]
    # A line break from outside could forge a log line, an escape sequence a terminal's screen.
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
    return cut[:DETAIL_MAX_CHARACTERS]


def text_of_error(error: BaseException) -> str:
    """Type and message of any exception, even of one whose message cannot be made."""
    try:
        message = str(error)
    except BaseException as problem:  # noqa: BLE001  (a handler's __str__ may raise anything at all)
        message = f"(its message cannot be shown: {type(problem).__name__})"
    name = type(error).__name__
    return bounded_text(f"{name}: {message}" if message else name)


class Classifier:
    """Decides of a failure what it is called and whether another attempt may help.

    By default 408, 425, 429, 5xx, network failures, timeouts, lost leases and exceptions of a
    handler are retried; other 4xx, 3xx and `GiveUp` are not. `retry_on` and `give_up_on` override
    that by status (an int) or by exception type (its name, `module.Type` or `Type`; subclasses
    count). What timed out is a `TimeoutError` to them, and what found no connection a
    `ConnectionError`, whoever noticed. `GiveUp` itself cannot be overridden.
    """

    def __init__(
        self, retry_on: Iterable[int | str] = (), give_up_on: Iterable[int | str] = ()
    ) -> None:
        self._retry_on = frozenset(retry_on)
        self._give_up_on = frozenset(give_up_on)

    def classify(self, error: BaseException) -> Failure:
        """Name the failure; the same error always gives the same answer."""
        if isinstance(error, AttemptError):
            reason, status = Reason(error.reason), error.status
            detail = bounded_text(error.detail) if error.detail else reason.value
            asked = error.retry_after_seconds
        else:
            reason, status, detail, asked = Reason.HANDLER, None, text_of_error(error), None
        return Failure(reason, detail, status, asked, self._is_retriable(reason, status, error))

    def is_retriable(self, error: BaseException) -> bool:
        """The predicate that tenacity's `retry_if_exception` is given."""
        return self.classify(error).is_retriable

    def _is_retriable(self, reason: Reason, status: int | None, error: BaseException) -> bool:
        # The handler has seen the item; configuration has not.
        if reason is Reason.PERMANENT:
            return False
        kinds = (type(error), *STANDARD_KINDS.get(reason, ()))
        # Giving up is the safer reading of a configuration that names an error twice.
        if is_named(self._give_up_on, status, kinds):
            return False
        if is_named(self._retry_on, status, kinds):
            return True
        if reason in (Reason.HTTP_3XX, Reason.HTTP_4XX):
            return status in RETRIED_STATUSES
        return True


def is_named(
    wishes: AbstractSet[int | str], status: int | None, kinds: Iterable[type[BaseException]]
) -> bool:
    """Whether configuration names a failure: by its status, or by one of its types or their bases.

    A dotted name may be that of any module through which the type can be reached.
    """
    if status in wishes:
        return True
    bases = [base for kind in kinds for base in kind.__mro__[:-1]]
    if any(base.__name__ in wishes or dotted_name(base) in wishes for base in bases):
        return True
    paths = [named(wish) for wish in wishes if isinstance(wish, str)]
    return any(found is base for found in paths for base in bases)


def dotted_name(kind: type) -> str:
    """Where a type was defined."""
    return f"{kind.__module__}.{kind.__qualname__}"


def named(path: str) -> object:
    """What `module.Name` leads to, or None; nothing is imported, for what was raised is there."""
    module, _, name = path.rpartition(".")
    # Not by getattr: a module may do anything when it is asked for what it has not.
    return vars(sys.modules[module]).get(name) if module in sys.modules else None
