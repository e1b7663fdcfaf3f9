"""What was configured as a secret is not shown again because an upstream repeats it."""

from __future__ import annotations

import pytest

from tirelessd.engine.handlers.masking import MASKED, Mask

SECRETS = ["Bearer abcdefghijkl", "key=0123456789&x=y", "short"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no Bearer abcdefghijkl here", f"no {MASKED} here"),
        ("unknown token 'abcdefghijkl'", f"unknown token '{MASKED}'"),
        ("GET /?key=0123456789&x=y", f"GET /?{MASKED}"),
        ("bad key 0123456789.", f"bad key {MASKED}."),
        ("cut off: abcdefghij", f"cut off: {MASKED}"),
        ("cut off: 01234567", f"cut off: {MASKED}"),
        ("a short word, x=y, abcdefg", "a short word, x=y, abcdefg"),
        ("abcdefghij in the middle", "abcdefghij in the middle"),
        ("", ""),
    ],
)
def test_secrets_and_their_words_are_masked(said: str, shown: str) -> None:
    """Whole, without their scheme, and cut off at the end; short words stand where they stood."""
    mask = Mask(SECRETS)

    assert mask(said) == shown


def test_without_secrets_nothing_is_masked() -> None:
    """The text stays as it is."""
    mask = Mask(["", "short"])

    assert mask("a short text") == "a short text"
