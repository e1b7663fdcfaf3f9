"""Whatever others put into text, it stays one line, bounded, and without what gives access."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirelessd.core.outcome import DETAIL_MAX_CHARACTERS
from tirelessd.observe.safety import (
    TRACEBACK_MAX_CHARACTERS,
    masked,
    safe_key,
    safe_traceback,
    safe_value,
)

CANARY = "kanarienvogel"

ANYTHING = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.dictionaries(st.text(), st.text()),
)


class Unspeakable:
    """An object that cannot say what it is."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "text",
    [
        f"Cannot connect to https://models/predict?key={CANARY}",
        f"got https://user:{CANARY}@models:8443/predict from there",
        f"https://{CANARY}@models/ refused",
        f"302 to 'https://login/?next={CANARY}&x=1'",
        f"no route for /predict?token={CANARY} here",
        f"401: Authorization: Bearer {CANARY}",
        f"401: Bearer {CANARY} is not known",
        f"{{'Authorization': 'Basic {CANARY}'}}",
        f"proxy-authorization={CANARY} and more {CANARY}",
        f"Set-Cookie: session={CANARY}; Path=/",
        f"Cookie: a=1; b={CANARY}",
        f"(b'Authorization', b'{CANARY}')",
    ],
)
def test_secrets_are_masked_where_their_shape_gives_them_away(text: str) -> None:
    """Queries, users of URLs, and credentials of headers do not reach the log."""
    assert CANARY not in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "no answer within 30 s",
        "500: why? because",
        "https://models:8000/predict refused",
        "basic things go wrong",
        "mail admin@example.org",
        "disk I/O error",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """A masked word that somebody needs would be a loss."""
    assert masked(text) == text


@given(ANYTHING)
def test_any_value_can_be_written_on_one_line(value: Any) -> None:
    """No control character, no unbounded text, no value that JSON cannot carry."""
    safe = safe_value(value)

    msgspec.json.encode(safe)
    if isinstance(safe, str):
        assert safe.isprintable()
        assert len(safe) <= DETAIL_MAX_CHARACTERS


@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_any_key_can_be_written_on_one_line(key: str) -> None:
    """A handler may bind names made of data."""
    assert safe_key(key).isprintable()


def test_a_value_that_cannot_be_shown_says_so() -> None:
    """Its own error would end the attempt that only wanted to log."""
    assert safe_value(Unspeakable()) == "(cannot be shown: RuntimeError)"


def test_a_number_beyond_json_becomes_text() -> None:
    """It is kept, and the line is written."""
    assert safe_value(2**64) == str(2**64)


def traceback_of(message: str) -> str:
    """What is written of an error with that message."""
    with pytest.raises(LookupError) as caught:
        fail(message)
    return safe_traceback(caught.value)


def fail(message: str) -> None:
    """Raise an error, with a value in a variable that nobody should see."""
    hidden = "".join(reversed(CANARY))
    if hidden:
        raise LookupError(message)


def test_a_traceback_shows_where_and_what() -> None:
    """The place first, the error last."""
    text = traceback_of("odd number")

    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("LookupError: odd number")


def test_a_traceback_has_no_values_of_variables() -> None:
    """Payloads live in variables."""
    text = traceback_of("odd number")

    assert "".join(reversed(CANARY)) not in text


@given(st.text(st.characters(exclude_categories=())))
def test_a_traceback_steers_no_terminal(message: str) -> None:
    """Line ends are its own; everything else that is not printable is escaped."""
    text = traceback_of(message)

    assert all(line.isprintable() for line in text.split("\n"))


def test_a_traceback_is_bounded_and_keeps_its_end() -> None:
    """The error itself stands at the end."""
    text = traceback_of("x" * 2 * TRACEBACK_MAX_CHARACTERS + "the end")

    assert len(text) == TRACEBACK_MAX_CHARACTERS
    assert text.endswith("the end")
