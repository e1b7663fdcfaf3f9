r"""Text as it may stand in a log: one line, bounded, printable, without what gives access.

Upstreams, callers and handlers choose much of it. Whatever they choose, it cannot start a line of
its own, steer a terminal, or carry a URL's query, its user and password, or a bearer token.
"""

from __future__ import annotations

import re
import traceback
from typing import Any, Final

from tirelessd.core.outcome import bounded_text

# A bound for what a handler binds by `**fields`; its own names are shorter.
KEY_MAX_CHARACTERS: Final = 64
TRACEBACK_MAX_CHARACTERS: Final = 16_000
# Far beyond what is kept, so that no secret is split; all of a handler's ten megabytes would hold
# up the loop.
LOOKED_AT_CHARACTERS: Final = 16_000
# What the JSON encoder can write as a number.
INTEGERS: Final = range(-(2**63), 2**64)

# Most text has none of these, and one search is cheaper than five replacements.
SUSPECT: Final = re.compile(r"[?@]|bearer|basic|authorization|cookie", re.IGNORECASE)
# In their order: the user of a URL, its query, any other query, and credentials of headers.
MASKS: Final = (
    (re.compile(r"(\w://)[^\s/?#@]+@"), r"\1…@"),
    (re.compile(r"(\w://[^\s?#\"'<>]*)\?[^\s\"'<>]*"), r"\1?…"),
    (re.compile(r"\?[^\s?=\"'<>]+=[^\s\"'<>]*"), "?…"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), r"\1 …"),
    (
        re.compile(
            r"\b((?:proxy-)?authorization|(?:set-)?cookie)(['\"]?\s*[:=,]\s*).*", re.IGNORECASE
        ),
        r"\1\2…",
    ),
)


def masked(text: str) -> str:
    """The text without queries, credentials and tokens, as far as their shape gives them away."""
    if SUSPECT.search(text):
        for pattern, mask in MASKS:
            text = pattern.sub(mask, text)
    return text


def safe_value(value: Any) -> Any:
    """A value that every renderer can write; text is masked, escaped and cut."""
    if isinstance(value, str):
        # Masked before it is cut, or the cut could take the part that gives a secret away.
        return bounded_text(masked(str(value)[:LOOKED_AT_CHARACTERS]))
    if isinstance(value, bool | float) or (isinstance(value, int) and value in INTEGERS):
        return value
    try:
        text = repr(value)
    except BaseException as error:  # noqa: BLE001  (a handler's __repr__ may raise anything at all)
        text = f"(cannot be shown: {type(error).__name__})"
    return bounded_text(masked(text[:LOOKED_AT_CHARACTERS]))


def safe_key(key: str) -> str:
    """A field's name, escaped and cut."""
    return bounded_text(key[:KEY_MAX_CHARACTERS])


def safe_traceback(error: BaseException) -> str:
    """The traceback on several lines, their ends kept where it is too long; no locals in it."""
    text = masked("".join(traceback.format_exception(error)).rstrip())
    text = "".join(c if c == "\n" or c.isprintable() else ascii(c)[1:-1] for c in text)
    # The end has the error and the place that raised it.
    return text[-TRACEBACK_MAX_CHARACTERS:]
