"""Request headers as text that is safe to store, to show and to pass on."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import hdrs
from multidict import CIMultiDictProxy

from tirelessd.core.errors import InvalidRequest
from tirelessd.core.queue import QueueConfig
from tirelessd.core.trace import TraceContext

Headers = CIMultiDictProxy[str]

DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"
CONTENT_TYPE_MAX_CHARACTERS: Final = 255
# As long as aiohttp lets one field be; repeated ones could add up to a hundred times that.
FORWARDED_MAX_CHARACTERS: Final = 8_190
TRACESTATE_MAX_CHARACTERS: Final = 512
BAGGAGE: Final = "baggage"
# As much as the standard wants to be passed on.
BAGGAGE_MAX_CHARACTERS: Final = 8_192

# W3C Trace Context, 2.2: version 00 has exactly these four fields, later ones may have more; ff is
# no version, and ids of zeros alone are invalid.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)(?:00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"|(?!00)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{0,200})?)"
)


def single_header(headers: Headers, name: str) -> str | None:
    """The value, or None without one; raises `InvalidRequest` when the header came twice."""
    values = headers.getall(name, ())
    if len(values) > 1:
        raise InvalidRequest(name, "came more than once")
    return values[0] if values else None


def content_type(headers: Headers) -> str:
    """The body's type as the caller sent it; raises `InvalidRequest` when it cannot be kept."""
    named = single_header(headers, hdrs.CONTENT_TYPE)
    # An empty field is what some clients send when they mean none.
    if not named:
        return DEFAULT_CONTENT_TYPE
    if len(named) > CONTENT_TYPE_MAX_CHARACTERS or not is_printable_ascii(named):
        raise InvalidRequest(
            hdrs.CONTENT_TYPE, f"must be printable ASCII of {CONTENT_TYPE_MAX_CHARACTERS} at most"
        )
    return named


def is_printable_ascii(text: str) -> bool:
    """Whether the text can stand in any header, log line and store."""
    return text.isascii() and text.isprintable()


def trace_context(headers: Headers) -> TraceContext | None:
    """The caller's W3C `traceparent` and `tracestate`; bad ones are ignored, as they should be."""
    parents = headers.getall("traceparent", ())
    if len(parents) != 1 or _TRACEPARENT.fullmatch(parents[0]) is None:
        return None
    state = ",".join(headers.getall("tracestate", ()))
    is_kept = 0 < len(state) <= TRACESTATE_MAX_CHARACTERS and is_printable_ascii(state)
    return TraceContext(parents[0], state if is_kept else None)


def allowed_baggage(headers: Headers, keys: tuple[str, ...]) -> dict[str, str]:
    """The members of the caller's W3C baggage that have these keys, as a header; none is no error.

    Each with its properties, in their order. What is no baggage is ignored, as is too much of it.
    """
    text = ",".join(headers.getall(BAGGAGE, ()))
    if not 0 < len(text) <= BAGGAGE_MAX_CHARACTERS or not is_printable_ascii(text):
        return {}
    members = [member.strip() for member in text.split(",")]
    kept = [one for one in members if "=" in one and one.partition("=")[0].strip() in keys]
    return {BAGGAGE: ",".join(kept)} if kept else {}


def forwarded(headers: Headers, config: QueueConfig) -> dict[str, str]:
    """The caller's fields that the queue forwards; repeated ones joined as HTTP allows.

    Names are in lower case. Raises `InvalidRequest` for a value that could not be sent on.
    """
    found: dict[str, str] = {}
    for name in config.forward_headers:
        if name == BAGGAGE and config.baggage_keys:
            found |= allowed_baggage(headers, config.baggage_keys)
            continue
        if values := headers.getall(name, ()):
            value = ", ".join(values)
            if len(value) > FORWARDED_MAX_CHARACTERS or not is_printable_ascii(value):
                complaint = f"must be printable ASCII of {FORWARDED_MAX_CHARACTERS} at most"
                raise InvalidRequest(name, f"{complaint} to be forwarded")
            found[name.lower()] = value
    return found
