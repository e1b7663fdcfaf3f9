"""`Retry-After` in its two forms, and in the forms of those who never read the RFC."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirelessd.engine.handlers.retry_after import LONGEST_SECONDS, seconds_asked

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the RFC's own example


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("00120", 120.0),
        ("2147483648", LONGEST_SECONDS),
        ("9999999999", LONGEST_SECONDS),
        ("9" * 5_000, LONGEST_SECONDS),
    ],
)
def test_seconds_are_taken_as_they_are(text: str, seconds: float) -> None:
    """A number of seconds counts as it stands, up to the RFC's largest."""
    asked = seconds_asked(text, None, NOW)

    assert asked == seconds


@pytest.mark.parametrize(
    "date",
    ["Sun, 06 Nov 1994 08:50:00 GMT", "Sunday, 06-Nov-94 08:50:00 GMT", "Sun Nov  6 08:50:00 1994"],
)
def test_each_form_of_a_date_counts_from_now(date: str) -> None:
    """All three formats of an HTTP date are understood (RFC 9110 section 5.6.7)."""
    asked = seconds_asked(date, None, NOW)

    assert asked == 23.0


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:55 GMT", 5.0),
        ("Sun, 06 Nov 1994 05:50:00 GMT", 3.0 * 3_600),
        ("Sun, 30 Oct 1994 08:50:00 GMT", 23.0),
        ("yesterday", 23.0),
    ],
    ids=["its own clock", "a clock three hours slow", "a stale copy", "nonsense"],
)
def test_date_counts_from_the_date_of_the_answer(stated: str, seconds: float) -> None:
    """The upstream's own clock is the measure, unless it is more than a day off."""
    asked = seconds_asked("Sun, 06 Nov 1994 08:50:00 GMT", stated, NOW)

    assert asked == seconds


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "soon",
        "-1",
        "+5",
        "1.5",
        "1e3",
        "5 seconds",
        "٣",
        "²",
        "0x10",
        "NaN",
        "inf",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sat, 05 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994",
        "Mon, 99 Xyz 1994 99:99:99 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +99999999",
    ],
)
def test_nonsense_and_the_past_ask_for_nothing(text: str | None) -> None:
    """What is neither seconds nor a date still to come is as good as absent."""
    asked = seconds_asked(text, None, NOW)

    assert asked is None


DATE_LIKE = st.from_regex(
    r"([A-Z][a-z]{2}, )?\d{1,3} (Jan|Nov|Xyz) -?\d{1,6} \d{1,3}:\d{1,3}(:\d{1,3})? [-+A-Z\d]{0,9}",
    fullmatch=True,
)


@given(text=st.text() | DATE_LIKE, date=st.text() | DATE_LIKE)
def test_no_text_is_too_much(text: str, date: str) -> None:
    """Whatever an upstream sends, the answer is nothing or a bounded number of seconds."""
    asked = seconds_asked(text, date, NOW)

    assert asked is None or 0.0 <= asked <= LONGEST_SECONDS
