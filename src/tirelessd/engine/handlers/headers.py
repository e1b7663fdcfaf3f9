"""Which headers may go to an upstream: names that frame nothing, values that fit on a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

# Each of these, given by somebody else, changes where a message ends or what its bytes mean: a
# foreign Content-Length cuts the body short and still earns a 200.
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
OWN_HEADERS: Final = frozenset({"idempotency-key", "traceparent", "tracestate"})
OWN_PREFIXES: Final = ("proxy-", "tirelessd-", "webhook-")
CREDENTIAL_HEADERS: Final = frozenset({"authorization", "cookie"})

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE: Final = re.compile("[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")


def check_configured(headers: Mapping[str, str]) -> None:
    """Raise `ValueError` for a header that an operator may not set."""
    for name, value in headers.items():
        _check_name(name)
        if not fits_a_line(value):
            raise ValueError(f"the value of header {name!r} does not fit on one line")


def check_forwarded(names: Iterable[str]) -> None:
    """Raise `ValueError` for a header that may not be passed on from a caller."""
    for name in names:
        _check_name(name)
        if name.lower() in CREDENTIAL_HEADERS:
            raise ValueError(
                f"header {name!r} cannot be forwarded: a caller's credentials are for tirelessd"
                " alone; give the upstream its own under headers"
            )


def fits_a_line(value: str) -> bool:
    """Whether a value holds neither control characters, tab aside, nor what UTF-8 cannot say.

    RFC 9110 section 5.5; a line end here would start a header, or a request, of somebody's own.
    """
    return _LINE.fullmatch(value) is not None


def _check_name(name: str) -> None:
    lower = name.lower()
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    if lower in FRAMING_HEADERS:
        raise ValueError(f"header {name!r} cannot be chosen: it frames the request")
    if lower in OWN_HEADERS or lower.startswith(OWN_PREFIXES):
        raise ValueError(f"header {name!r} cannot be chosen: it is set by tirelessd or by a proxy")
