"""The flaky prediction server: repeatable failures, and books of its own."""

from __future__ import annotations

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirelessd.cli.demonstration import predictions
from tirelessd.cli.demonstration.predictions import HOPELESS_ITEM, Call, PredictionServer, Tally
from tirelessd.core.clock import SystemClock


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "SHORTEST_SECONDS", 0.0)
    monkeypatch.setattr(predictions, "LONGEST_SECONDS", 0.01)


def server(failure_rate: float = 0.0, seed: int = 1) -> PredictionServer:
    """A prediction server that does not listen yet."""
    return PredictionServer(seed, failure_rate, SystemClock())


async def ask(session: aiohttp.ClientSession, url: str, item: int) -> tuple[int, str]:
    """Ask for one prediction; gives status and body."""
    async with session.post(url, json={"item": item}) as response:
        return response.status, await response.text()


async def test_prediction_is_answered_and_counted() -> None:
    """A call gets a label, and the tally has it with its duration."""
    flaky = server()

    async with flaky.serving(), aiohttp.ClientSession() as session:
        status, body = await ask(session, flaky.url, 7)

    assert status == 200
    assert body.startswith('{"item":7,"label":')
    assert (flaky.tally.successes, flaky.tally.failures) == (1, 0)
    assert flaky.tally.seconds > 0


async def test_hopeless_item_always_fails() -> None:
    """One item fails however often it is asked for, at any failure rate."""
    flaky = server(failure_rate=0.0)

    async with flaky.serving(), aiohttp.ClientSession() as session:
        answers = [await ask(session, flaky.url, HOPELESS_ITEM) for _ in range(3)]

    assert answers == [(500, f"the model cannot make sense of item {HOPELESS_ITEM}")] * 3
    assert flaky.tally.predicted == set()


async def test_failures_repeat_with_the_seed() -> None:
    """Two servers of one seed fail the same calls, in whatever order these come."""
    orders = ([1, 2, 3, 1, 2, 3], [3, 3, 2, 2, 1, 1])
    seen = []
    for order in orders:
        flaky = server(failure_rate=0.5)
        async with flaky.serving(), aiohttp.ClientSession() as session:
            for item in order:
                await ask(session, flaky.url, item)
        seen.append(
            {item: [call.is_success for call in calls] for item, calls in flaky.tally.calls.items()}
        )

    first, second = seen

    assert first == second


@given(seed=st.integers(0, 10_000))
def test_draws_are_even(seed: int) -> None:
    """Over many calls about as many fail as were asked for."""
    flaky = server(seed=seed)

    failures = sum(flaky.draw("failure", item, 1) < 0.1 for item in range(1_000))

    # Seven standard deviations: by chance once in a hundred billion runs.
    assert 34 <= failures <= 166


def test_tally_knows_who_needed_a_retry() -> None:
    """An item that failed first and succeeded later is predicted and retried."""
    tally = Tally()
    for item, is_success in [(1, True), (2, False), (2, True), (3, False)]:
        tally.add(item, Call(is_success, 0.5))

    assert (tally.predicted, tally.retried) == ({1, 2}, {2})
    assert (tally.successes, tally.failures, tally.seconds) == (2, 2, 2.0)
