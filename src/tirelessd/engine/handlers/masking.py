"""Configured secrets taken out of what an upstream says of a request: error pages repeat it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASKED: Final = "**********"
# Shorter words stand in any text by chance; no credential is as short.
LEAST_CHARACTERS: Final = 8


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
