"""What a submitter may ask for: the same options in the headers of one item and in a batch's lines.

Numbers are JSON numbers in both places, so that there is one grammar and one set of bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from tirelessd.api.headers import Headers
from tirelessd.api.malformed import UNREADABLE, malformed
from tirelessd.core.errors import InvalidRequest
from tirelessd.core.item import PRIORITY_DEFAULT
from tirelessd.engine.intake import Options

KEY_MAX_CHARACTERS: Final = 255
# Ten years: nobody waits longer, and no instant that comes of it leaves the calendar.
HORIZON_SECONDS: Final = 315_360_000

Delay = Annotated[
    float, Meta(ge=0, le=HORIZON_SECONDS, description="Seconds until the first attempt is due.")
]
NotBefore = Annotated[
    datetime, Meta(tz=True, description="The first attempt is not due before (RFC 3339).")
]
Priority = Annotated[int, Meta(ge=0, le=9, description="9 is attempted first.")]
Deadline = Annotated[
    float,
    Meta(
        gt=0,
        le=HORIZON_SECONDS,
        description="Seconds from the first due time after which the item is given up.",
    ),
]
Key = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=KEY_MAX_CHARACTERS,
        description="Visible ASCII that stands for this submission.",
        # Described only: Python's `$` would let a newline pass, so `_is_key` does the checking.
        extra_json_schema={"pattern": "^[!-~]+$"},
    ),
]


class BatchLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a batch. `payload` is kept as the bytes that stand in the line."""

    payload: msgspec.Raw
    idempotency_key: Key | None = None
    delay_seconds: Delay = 0.0
    not_before: NotBefore | None = None
    priority: Priority = PRIORITY_DEFAULT
    deadline_seconds: Deadline | None = None


# Which field of a line each header is, and the type that reads it.
HEADER_OPTIONS: Final[Mapping[str, tuple[str, Any]]] = {
    "Idempotency-Key": ("idempotency_key", Key),
    "Tirelessd-Delay": ("delay_seconds", Delay),
    "Tirelessd-Not-Before": ("not_before", NotBefore),
    "Tirelessd-Priority": ("priority", Priority),
    "Tirelessd-Deadline": ("deadline_seconds", Deadline),
}
_OPTIONS_BY_NAME: Final = {name.lower(): name for name in HEADER_OPTIONS}
_PREFIX: Final = "tirelessd-"
# What this daemon tells its upstreams, so that one can be another's upstream.
_NO_OPTIONS: Final = frozenset({"tirelessd-item-id", "tirelessd-attempt"})
_DEFAULTS: Final = Options()


def header_options(headers: Headers, now: float) -> Options:
    """The options in a request's headers; `now` in epoch seconds bounds how far they reach.

    Raises `InvalidRequest` naming the header that is unknown, came twice or is malformed.
    """
    sent = sent_options(headers)
    if not sent:
        return _DEFAULTS
    # Put into a line, so that whatever is asked of lines is asked of headers as well.
    fields = {HEADER_OPTIONS[name][0]: _read(name, text) for name, text in sent.items()}
    line = BatchLine(payload=msgspec.Raw(b""), **fields)
    return _options(line, now, "Idempotency-Key", "Tirelessd-Not-Before")


def line_options(line: BatchLine, now: float) -> Options:
    """The options in a line of a batch; raises `InvalidRequest` naming the field."""
    return _options(line, now, "idempotency_key", "not_before")


def sent_options(headers: Headers) -> Mapping[str, str]:
    """The option headers of a request, by their names as documented.

    Raises `InvalidRequest` for a `Tirelessd-…` header that is no option, or one that came twice.
    """
    sent: dict[str, str] = {}
    for name, text in headers.items():
        lower = name.lower()
        option = _OPTIONS_BY_NAME.get(lower)
        if option is None:
            if lower.startswith(_PREFIX) and lower not in _NO_OPTIONS:
                raise InvalidRequest(name, f"is no option; these are: {', '.join(HEADER_OPTIONS)}")
        elif option in sent:
            raise InvalidRequest(option, "came more than once")
        else:
            sent[option] = text
    return sent


def _read(name: str, text: str) -> Any:
    _, shape = HEADER_OPTIONS[name]
    # A key is text as it stands; the others are read as the JSON they would be in a line.
    if shape is Key:
        return text
    try:
        if shape is NotBefore:
            return msgspec.convert(text, shape)
        return msgspec.json.decode(text, type=shape)
    except UNREADABLE as error:
        raise malformed(error, name) from None


def _options(line: BatchLine, now: float, key_name: str, not_before_name: str) -> Options:
    """The checks that a type cannot express, for both ways in."""
    key, not_before = line.idempotency_key, line.not_before
    if key is not None and not _is_key(key):
        raise InvalidRequest(
            key_name, f"must be 1 to {KEY_MAX_CHARACTERS} visible ASCII characters"
        )
    not_before_at = None if not_before is None else not_before.timestamp()
    if not_before_at is not None and not_before_at > now + HORIZON_SECONDS:
        raise InvalidRequest(not_before_name, "is more than ten years ahead")
    return Options(
        delay_seconds=line.delay_seconds,
        not_before_at=not_before_at,
        priority=line.priority,
        deadline_seconds=line.deadline_seconds,
        key=key,
    )


def _is_key(text: str) -> bool:
    is_visible = text.isascii() and text.isprintable() and " " not in text
    return is_visible and 0 < len(text) <= KEY_MAX_CHARACTERS
