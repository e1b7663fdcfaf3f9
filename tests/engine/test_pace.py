"""How long attempts take of late."""

from __future__ import annotations

import pytest

from tests.engine.script import House
from tirelessd.core.events import ItemSucceeded
from tirelessd.engine.pace import RECENT_ATTEMPTS, Pace


def test_before_the_first_it_is_the_limit() -> None:
    """A cold start does not look like no work at all."""
    assert Pace(30.0).mean_seconds == 30.0


def test_the_first_takes_the_limit_s_place() -> None:
    """It says more than a limit does; of a few it is their mean."""
    pace = Pace(30.0)

    for seconds in (1.0, 2.0, 6.0):
        pace.see(seconds)

    assert pace.mean_seconds == pytest.approx(3.0)


def test_old_attempts_weigh_less() -> None:
    """After twice as many of another kind hardly anything is left of what was."""
    pace = Pace(30.0)
    for _ in range(10 * RECENT_ATTEMPTS):
        pace.see(1.0)

    for _ in range(2 * RECENT_ATTEMPTS):
        pace.see(5.0)

    assert pace.mean_seconds == pytest.approx(5.0, rel=0.2)


async def test_a_pool_tells_its_pace(house: House) -> None:
    """From its own attempts."""
    before = house.engine.status().pools["work"].mean_attempt_seconds
    await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    after = house.engine.status().pools["work"].mean_attempt_seconds

    assert (before, after < before) == (30.0, True)
