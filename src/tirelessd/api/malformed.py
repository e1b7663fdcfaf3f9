"""What is wrong with a document or a parameter that could not be read, told to its sender."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tirelessd.core.errors import InvalidRequest

# Everything that msgspec raises over input. Deep nesting is a RecursionError, odd bytes a
# UnicodeError, and neither is a ValueError of its own.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_PATH: Final = re.compile(r" - at `\$\.([A-Za-z_]+)[^`]*`$")


def malformed(error: Exception, part: str) -> InvalidRequest:
    """The refusal for one of `UNREADABLE`; names the field at fault, or else the `part`."""
    if isinstance(error, RecursionError):
        return InvalidRequest(part, "is nested too deeply")
    if isinstance(error, UnicodeError):
        return InvalidRequest(part, "is not UTF-8")
    # msgspec names the place at the end of its sentence, and has no other way to ask for it.
    complaint = str(error)
    found = _PATH.search(complaint)
    if found is None:
        return InvalidRequest(part, complaint)
    return InvalidRequest(found[1], complaint[: found.start()])
