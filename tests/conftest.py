"""What every test stands on: signals, hypothesis's profile, and houses to run engines in."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.engine.script import FAST_RETRY, House
from tirelessd.core.queue import QueueConfig

# A shell without job control starts its background commands with SIGINT ignored, and their
# children inherit that: a daemon started by a test would never notice Ctrl-C. Only what is ignored
# is inherited, so a handler here gives every child the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same with nohup; the tests themselves go on passing over it.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)

# Examples are drawn anew each run and printed on failure; `derandomize` would hide what they find.
settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=2_000)
settings.load_profile(os.environ.get("TIRELESSD_HYPOTHESIS_PROFILE", "default"))

MakeHouse = Callable[..., Awaitable[House]]


@pytest.fixture
async def make_house(tmp_path: Path) -> AsyncIterator[MakeHouse]:
    """Start houses that the test need not stop."""
    houses: list[House] = []

    async def make(*queues: QueueConfig) -> House:
        configs = queues or (QueueConfig("work", slots=4, retry=FAST_RETRY),)
        house = House(tmp_path / f"store-{len(houses)}.db", configs)
        houses.append(house)
        return await house.start()

    yield make
    for house in houses:
        await house.crash()


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    """A running house with one queue, `work`, of four slots and three quick attempts."""
    return await make_house()
