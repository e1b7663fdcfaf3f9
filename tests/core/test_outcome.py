"""Failures get closed names and bounded words, and a verdict on trying again."""

from __future__ import annotations

import json
from typing import Never

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirelessd.core.errors import AttemptError, GiveUp, Retry
from tirelessd.core.outcome import (
    DETAIL_MAX_CHARACTERS,
    Classifier,
    Reason,
    bounded_text,
    reason_of_status,
    text_of_error,
)


@pytest.mark.parametrize(
    ("status", "reason", "is_retriable"),
    [
        (301, Reason.HTTP_3XX, False),
        (400, Reason.HTTP_4XX, False),
        (404, Reason.HTTP_4XX, False),
        (408, Reason.HTTP_4XX, True),
        (425, Reason.HTTP_4XX, True),
        (429, Reason.HTTP_429, True),
        (500, Reason.HTTP_5XX, True),
        (503, Reason.HTTP_5XX, True),
        (700, Reason.PROTOCOL, True),
    ],
)
def test_statuses_by_default(status: int, reason: Reason, *, is_retriable: bool) -> None:
    """408, 425, 429 and 5xx may pass; other 4xx and 3xx will not."""
    failure = Classifier().classify(AttemptError(reason_of_status(status), status=status))

    assert (failure.reason, failure.is_retriable) == (reason, is_retriable)


def test_configuration_overrides_statuses() -> None:
    """A queue may retry a 404, and give up on a 503."""
    classifier = Classifier(retry_on=[404], give_up_on=[503])

    assert classifier.is_retriable(AttemptError("http_4xx", status=404))
    assert not classifier.is_retriable(AttemptError("http_5xx", status=503))
    assert classifier.is_retriable(AttemptError("http_5xx", status=500))


@pytest.mark.parametrize("name", ["LookupError", "KeyError", "builtins.KeyError", "Exception"])
def test_configuration_overrides_types(name: str) -> None:
    """A type is named by itself, with its module, or by a base."""
    assert not Classifier(give_up_on=[name]).is_retriable(KeyError("x"))
    assert Classifier(give_up_on=[name]).is_retriable(ValueError("x")) == (name != "Exception")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("json.JSONDecodeError", json.JSONDecodeError("no JSON", "x", 0)),
        ("json.decoder.JSONDecodeError", json.JSONDecodeError("no JSON", "x", 0)),
        ("asyncio.TimeoutError", TimeoutError()),
        ("socket.error", BrokenPipeError()),
        ("TimeoutError", AttemptError("timeout")),
        ("OSError", AttemptError("connect")),
    ],
)
def test_types_are_known_by_every_name(name: str, error: Exception) -> None:
    """Where people import a type from is seldom where it was defined, nor who noticed a timeout."""
    assert not Classifier(give_up_on=[name]).is_retriable(error)
    assert Classifier(give_up_on=[name]).is_retriable(AttemptError("protocol"))


@pytest.mark.parametrize("name", ["json.Missing", "no.such.module.Error", ".", "json.", "sys.path"])
def test_names_that_lead_nowhere_name_nothing(name: str) -> None:
    """A module that is not there yet is not imported for it."""
    assert Classifier(give_up_on=[name]).is_retriable(ValueError())


def test_give_up_is_the_last_word() -> None:
    """What a handler gave up on is not retried, whatever is configured."""
    assert not Classifier(retry_on=["GiveUp", "Exception"]).is_retriable(GiveUp("no"))


def test_give_up_on_wins_over_retry_on() -> None:
    """An error that is named twice is given up on."""
    assert not Classifier(retry_on=["KeyError"], give_up_on=["KeyError"]).is_retriable(KeyError())


def test_retry_keeps_what_it_asked_for() -> None:
    """The handler's own words and wish arrive."""
    failure = Classifier().classify(Retry("busy", after_seconds=3))

    assert (failure.reason, failure.detail, failure.retry_after_seconds) == ("handler", "busy", 3)


@given(st.text())
def test_details_are_bounded_and_printable(text: str) -> None:
    """Whatever a message holds, what is kept is one short printable line."""
    kept = bounded_text(text)

    assert len(kept) <= DETAIL_MAX_CHARACTERS
    assert kept.isprintable()


@given(st.text(alphabet=st.characters(codec="ascii", min_codepoint=32, max_codepoint=126)))
def test_harmless_text_is_kept_as_it_is(text: str) -> None:
    """Nothing is escaped that need not be."""
    assert bounded_text(text) == text[:DETAIL_MAX_CHARACTERS]


def test_line_breaks_cannot_forge_lines() -> None:
    """Control characters are written as what they are."""
    assert bounded_text("a\nb\x1b[2Jc\u2028d") == "a\\nb\\x1b[2Jc\\u2028d"


class _SilentError(Exception):
    def __str__(self) -> Never:
        raise ValueError("cannot say")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no cat"), "ValueError: no cat"),
        (ValueError(), "ValueError"),
        (_SilentError(), "_SilentError: (its message cannot be shown: ValueError)"),
        (SystemExit(2), "SystemExit: 2"),
    ],
)
def test_errors_are_named_even_if_they_cannot_speak(error: BaseException, text: str) -> None:
    """Type and message, or why there is none."""
    assert text_of_error(error) == text
