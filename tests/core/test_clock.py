"""Store time: neither jumps nor goes back."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.clock import ManualClock
from tirelessd.core.clock import SteadyClock, SystemClock, instant

Steps = list[tuple[float, float]]


def test_time_passes_with_the_monotonic_clock() -> None:
    """An undisturbed clock tells the wall time."""
    host = ManualClock()
    steady = SteadyClock(host)
    started = steady.now()

    host.advance(100)

    assert steady.now() - started == 100


def test_jump_forward_is_followed_slowly() -> None:
    """A clock that is set an hour ahead makes nothing due at once."""
    host = ManualClock()
    steady = SteadyClock(host, slew=0.05)
    started = steady.now()

    host.jump(3_600)
    host.advance(10)

    assert abs(steady.now() - started - 10.5) < 1e-6


def test_jump_back_freezes_nothing() -> None:
    """A clock that is set an hour back still lets time pass, a little slower."""
    host = ManualClock()
    steady = SteadyClock(host, slew=0.05)
    started = steady.now()

    host.jump(-3_600)
    host.advance(10)

    assert abs(steady.now() - started - 9.5) < 1e-6


def test_difference_is_worked_off() -> None:
    """After long enough both clocks agree again."""
    host = ManualClock()
    steady = SteadyClock(host, slew=0.05)
    host.jump(30)

    for _ in range(700):
        host.advance(1)
        steady.now()

    assert abs(steady.now() - host.wall()) < 1e-3


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(-1e6, 1e6)), max_size=20))
def test_time_never_goes_back_nor_runs_away(steps: Steps) -> None:
    """Whatever is done to the wall clock, a second stays within a twentieth of a second."""
    host = ManualClock()
    steady = SteadyClock(host, slew=0.05)
    before = steady.now()

    for seconds, jump in steps:
        host.jump(jump)
        host.advance(seconds)
        now = steady.now()
        assert 0.95 * seconds - 1e-3 <= now - before <= 1.05 * seconds + 1e-3
        before = now


def test_system_clock_is_the_hosts() -> None:
    """The real clock tells this century and does not go back."""
    clock = SystemClock()

    first, second = clock.monotonic(), clock.monotonic()

    assert second >= first
    assert instant(clock.wall()) > datetime(2026, 1, 1, tzinfo=UTC)


def test_time_goes_on_where_an_earlier_life_left_it() -> None:
    """On the same boot only the time that has passed counts, wherever the wall clock was set to."""
    host = ManualClock()
    former = SteadyClock(host)
    booted_at = former.now() - host.monotonic()
    host.jump(86_400)
    host.advance(10)

    steady = SteadyClock(host)
    steady.go_on_from(former.now() - 10, booted_at)

    assert abs(steady.now() - booted_at - 10) < 1
    assert abs(steady.ahead_seconds() + 86_400) < 1


def test_time_never_goes_back_over_a_boot() -> None:
    """After a boot it is the wall clock's, unless that is behind what the store has seen."""
    host = ManualClock()
    left_at = host.wall() + 3_600
    steady = SteadyClock(host)

    steady.go_on_from(left_at, None)
    kept = steady.now()
    host.jump(7_200)
    steady.go_on_from(left_at, None)

    assert kept == left_at
    assert steady.now() == host.wall()
