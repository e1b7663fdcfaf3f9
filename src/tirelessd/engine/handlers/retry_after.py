"""The two forms of `Retry-After` (RFC 9110 section 10.2.3), in seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

# RFC 9111 section 1.2.2: what is too large to be represented means 2**31 or "very long".
LONGEST_SECONDS: Final = float(2**31)
CLOCK_SKEW_MAX_SECONDS: Final = 86_400.0


def seconds_asked(retry_after: str | None, date: str | None, now: float) -> float | None:
    """How long the upstream wants to be left alone; None when it does not say so clearly.

    A date counts from the answer's own `Date`, so that the upstream's clock need not be right. A
    `Date` more than a day off `now` (epoch seconds) is that of a stale copy, and `now` is taken. A
    date that has passed asks for nothing.
    """
    text = (retry_after or "").strip()
    # `isdigit` alone would take the digits of every script.
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_SECONDS)
    until = _epoch_seconds(text)
    if until is None:
        return None
    seconds = until - _answered_at(date, now)
    return min(seconds, LONGEST_SECONDS) if seconds > 0 else None


def _answered_at(date: str | None, now: float) -> float:
    stated = _epoch_seconds(date or "")
    is_sane = stated is not None and abs(stated - now) <= CLOCK_SKEW_MAX_SECONDS
    return stated if stated is not None and is_sane else now


def _epoch_seconds(http_date: str) -> float | None:
    """The instant of an HTTP date, None for anything else."""
    try:
        parsed: datetime = parsedate_to_datetime(http_date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
