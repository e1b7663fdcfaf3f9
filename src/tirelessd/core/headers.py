"""Which headers may go to an upstream: names that frame nothing, values that fit on a line.

Settings and the handlers ask here, so that what `tirelessd check` lets pass can be sent.
"""

from __future__ import annotations

import re
from typing import Final

# Each of these, given by somebody else, changes where a message ends or what its bytes mean: a
# foreign Content-Length cuts the body short and still earns a 200 (RFC 9110 section 7.6.1, RFC 9112
# section 6).
FRAMING_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What the daemon says for itself, on each attempt or to tell it apart from another.
OWN_HEADERS: Final = frozenset({"idempotency-key", "traceparent", "tracestate"})
OWN_PREFIXES: Final = ("proxy-", "tirelessd-", "webhook-")
# A caller's key to this daemon is not its key to the upstream behind it.
CREDENTIAL_HEADERS: Final = frozenset({"authorization", "cookie"})

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}")
_LINE: Final = re.compile("[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")


def header_name(name: str) -> str:
    """The header's name in lower case; raises `ValueError` for none (RFC 9110 section 5.6.2)."""
    if not _NAME.fullmatch(name):
        raise ValueError("must be a header name")
    return name.lower()


def free_header_name(name: str) -> str:
    """The name in lower case; raises `ValueError` if the daemon or HTTP sets that header."""
    lower = header_name(name)
    if lower in FRAMING_HEADERS:
        raise ValueError(f"must not name {lower}: it frames the request, which HTTP itself does")
    if lower in OWN_HEADERS or lower.startswith(OWN_PREFIXES):
        raise ValueError(f"must not name {lower}: it is set by tirelessd or by a proxy")
    return lower


def forwarded_header_name(name: str) -> str:
    """The name in lower case; raises `ValueError` if a caller's may not be passed on."""
    lower = free_header_name(name)
    if lower in CREDENTIAL_HEADERS:
        raise ValueError(f"must not name {lower}: a caller's credentials are for tirelessd alone")
    return lower


def baggage_key(key: str) -> str:
    """The key of a member of W3C baggage; raises `ValueError` for what can be none."""
    if not _NAME.fullmatch(key):
        raise ValueError("must be the key of a baggage member")
    return key


def fits_a_line(value: str) -> bool:
    """Whether a value holds neither control characters, tab aside, nor what UTF-8 cannot say.

    RFC 9110 section 5.5; a line end here would start a header, or a request, of somebody's own.
    """
    return _LINE.fullmatch(value) is not None
