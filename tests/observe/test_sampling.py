"""A storm leaves a few lines of each kind, and none of another kind is lost to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observe.events import ManualClock
from tirelessd.observe.sampling import (
    FINGERPRINTS_MAX,
    FULL_LINES,
    ONE_IN,
    WINDOW_SECONDS,
    Fingerprints,
    Sampler,
    fingerprint_of,
)

RETRY = ("attempt.failed", "work", "http_5xx")
OTHER = ("attempt.failed", "work", "timeout")


def test_the_first_five_of_a_minute_are_admitted() -> None:
    """Whoever looks sees that it happens, and that it happens again."""
    sampler = Sampler(ManualClock())

    admitted = [sampler.admit(RETRY) for _ in range(FULL_LINES + 1)]

    assert admitted == [0, 0, 0, 0, 0, None]


def test_then_every_hundredth_tells_how_many_were_not() -> None:
    """Ninety-nine are missing between two lines, and the second says so."""
    sampler = Sampler(ManualClock())

    admitted = [sampler.admit(RETRY) for _ in range(FULL_LINES + 2 * ONE_IN)]

    told = [count for count in admitted[FULL_LINES:] if count is not None]
    assert told == [ONE_IN - 1, ONE_IN - 1]


def test_a_new_minute_begins_with_what_was_suppressed() -> None:
    """The first line after the storm accounts for the rest of it."""
    clock = ManualClock()
    sampler = Sampler(clock)
    for _ in range(FULL_LINES + 7):
        sampler.admit(RETRY)

    clock.advance(WINDOW_SECONDS)

    assert [sampler.admit(RETRY), sampler.admit(RETRY)] == [7, 0]


def test_a_kind_is_an_event_a_queue_and_a_reason() -> None:
    """A flood of one reason hides no other."""
    sampler = Sampler(ManualClock())
    for _ in range(50):
        sampler.admit(RETRY)

    assert sampler.admit(OTHER) == 0


@given(st.lists(st.tuples(st.sampled_from([RETRY, OTHER]), st.floats(0, 30)), max_size=400))
def test_no_line_is_unaccounted_for(arrivals: list[tuple[tuple[str, str, str], float]]) -> None:
    """Lines admitted, lines told as suppressed, and lines yet to be told are all there were."""
    clock = ManualClock()
    sampler = Sampler(clock)
    told = admitted = 0

    for key, pause_seconds in arrivals:
        clock.advance(pause_seconds)
        suppressed = sampler.admit(key)
        admitted += suppressed is not None
        told += suppressed or 0
    clock.advance(WINDOW_SECONDS)
    rest = sum(sampler.admit(key) or 0 for key in (RETRY, OTHER))

    assert admitted + told + rest == len(arrivals)


def fail_here(kind: type[Exception]) -> None:
    """Raise an error in this place."""
    raise kind("text")


def fail_there(kind: type[Exception]) -> None:
    """Raise an error in another place."""
    raise kind("text")


def raised(kind: type[Exception], fail: Callable[[type[Exception]], None] = fail_here) -> Exception:
    """An error that has been raised."""
    with pytest.raises(kind) as caught:
        fail(kind)
    return caught.value


def test_a_fingerprint_is_type_and_place() -> None:
    """The text of an error varies, where it comes from does not."""
    same = {fingerprint_of(raised(ValueError)) for _ in range(3)}

    assert len(same) == 1
    assert fingerprint_of(raised(KeyError)) not in same
    assert fingerprint_of(raised(ValueError, fail_there)) not in same


def test_an_error_that_was_never_raised_has_a_fingerprint() -> None:
    """It has a type and no place."""
    assert fingerprint_of(ValueError("a")) == fingerprint_of(ValueError("b"))


def test_a_fingerprint_is_new_once() -> None:
    """Its traceback is worth reading once."""
    fingerprints = Fingerprints()

    assert [fingerprints.first_sight("aa") for _ in range(3)] == [True, False, False]


def test_what_is_remembered_is_bounded() -> None:
    """Errors whose types are made up at run time cannot fill the memory."""
    fingerprints = Fingerprints()
    for number in range(FINGERPRINTS_MAX):
        fingerprints.first_sight(str(number))

    assert not fingerprints.first_sight("one more")
