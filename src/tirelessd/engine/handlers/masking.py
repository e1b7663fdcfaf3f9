"""Secrets and payloads taken out of what an upstream says of a request: error pages repeat it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile
from typing import Final

import msgspec

MASKED: Final = "**********"
# Shorter words stand in any text by chance; no credential is as short.
LEAST_CHARACTERS: Final = 8
# By so many characters a payload is recognised; fewer are the same in many, such as `{"id": "`.
BEGINNING_CHARACTERS: Final = 16
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


class Mask:
    """Replaces secrets, their words, and what a cut has left of one at the end of a text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # `Bearer x` is a secret for its `x`, with which an upstream may complain alone.
        found = {part for secret in secrets for part in (secret, *re.split(r"[\s=&;,:]+", secret))}
        self._secrets = sorted(
            (part for part in found if len(part) >= LEAST_CHARACTERS), key=len, reverse=True
        )
        self._pattern = re.compile("|".join(map(re.escape, self._secrets)) or "(?!)")

    def __call__(self, text: str) -> str:
        """The text without them."""
        text = self._pattern.sub(MASKED, text)
        for secret in self._secrets:
            for end in range(len(secret) - 1, LEAST_CHARACTERS - 1, -1):
                if text.endswith(secret[:end]):
                    return text.removesuffix(secret[:end]) + MASKED
        return text


def without_payload(text: str, payload: str) -> str:
    """The text without the payload, as it is or as a JSON text, however much of it is repeated.

    A repetition is known by its beginning. Both texts are taken with single blanks between words.
    """
    quoted = msgspec.json.encode(payload).decode()[1:-1]
    forms = [form for form in (payload, quoted, _ascii(quoted)) if len(form) >= LEAST_CHARACTERS]
    for beginning in {form[:BEGINNING_CHARACTERS] for form in forms}:
        rests = [form.removeprefix(beginning) for form in forms if form.startswith(beginning)]
        kept, *others = text.split(beginning)
        ends = (other[max(_shared(other, rest) for rest in rests) :] for other in others)
        text = MASKED.join((kept, *ends))
    return text


def _ascii(text: str) -> str:
    """As JSON writers put it that write nothing but ASCII."""
    return _NOT_ASCII.sub(
        lambda found: re.sub("(....)", r"\\u\1", found[0].encode("utf-16-be").hex()), text
    )


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
