"""What was configured as a secret is not shown again because an upstream repeats it."""

from __future__ import annotations

import msgspec
import pytest

from tirelessd.engine.handlers.masking import MASKED, Mask, without_payload

PAYLOAD = '{"card": "4111 1111", "name": "Zoë"}'
QUOTED = msgspec.json.encode(PAYLOAD).decode()
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


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"bad: {PAYLOAD}!", f"bad: {MASKED}!"),
        (f"{PAYLOAD} and {PAYLOAD}", f"{MASKED} and {MASKED}"),
        (f"cut off: {PAYLOAD[:20]}", f"cut off: {MASKED}"),
        (f"shortened: {PAYLOAD[:20]}... is bad", f"shortened: {MASKED}... is bad"),
        (f"a text: {QUOTED}", f'a text: "{MASKED}"'),
        (f"in ASCII: {QUOTED}".replace("ë", r"\u00eb"), f'in ASCII: "{MASKED}"'),
        ('"card" is missing', '"card" is missing'),
        ("", ""),
    ],
)
def test_repeated_payloads_are_masked(said: str, shown: str) -> None:
    """Whole, cut off, several times, and as a text in JSON; words of a payload alone are not."""
    left = without_payload(said, PAYLOAD)

    assert left == shown


@pytest.mark.parametrize("payload", ["", "short", "a b"])
def test_payloads_of_a_word_mask_nothing(payload: str) -> None:
    """They stand in any text by chance."""
    left = without_payload("a short b text", payload)

    assert left == "a short b text"
