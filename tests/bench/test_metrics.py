"""What counting costs, from moments in which it happened more or less often."""

import pytest

from bench.load import Seen
from bench.run import EndToEnd
from bench.scenarios.metrics import Rounds, share_of_one
from bench.switched import NEVER, OFTEN, ONCE, Slice

BEGAN_AT = 1_000.0
# An item is four events, and takes 100 µs; to count it takes 2 µs more.
ITEM_SECONDS, COUNTED_SECONDS = 100e-6, 2e-6


def make_slice(times: int, began_at: float) -> Slice:
    """A tenth of a second in which all the processor's time went into items."""
    items = 0.1 / (ITEM_SECONDS + times * COUNTED_SECONDS)
    return Slice(times, began_at, 0.1, 0.1, events=round(4 * items), items=round(items))


def make_rounds(items: int) -> Rounds:
    """One round of a second."""
    seen = Seen(
        statuses={202: items},
        started_at=BEGAN_AT,
        seconds=1.0,
        cpu_seconds=0.1,
        p50_seconds=0.01,
        p99_seconds=0.02,
        body_bytes=100,
    )
    rounds = Rounds()
    rounds.add(EndToEnd(seen, items, float(items), 1.0))
    return rounds


def test_an_eighth_of_eight_times_is_what_once_takes() -> None:
    """Of 102 µs two are the counting's, whatever eight times come to."""
    rate = 1 / (ITEM_SECONDS + OFTEN * COUNTED_SECONDS)

    assert share_of_one(rate, 1 / ITEM_SECONDS) == pytest.approx(100 * 2 / 102)


def test_what_costs_nothing_takes_nothing() -> None:
    """Equal rates, no share."""
    assert share_of_one(5_000.0, 5_000.0) == 0


def test_moments_are_told_apart_by_how_often_was_counted() -> None:
    """Rates and processor times of each kind, from the moments that were under load throughout."""
    rounds = make_rounds(10_000)
    turns = [NEVER, ONCE, OFTEN, OFTEN, NEVER, ONCE]
    loaded = [make_slice(each, BEGAN_AT + number / 10) for number, each in enumerate(turns)]
    idle = [
        Slice(times, at, 0.1, 0.0, events=4, items=1)
        for times in (NEVER, ONCE, OFTEN)
        for at in (BEGAN_AT - 0.05, BEGAN_AT + 0.95)
    ]

    rounds.divide([*loaded, *idle])

    (share,) = rounds.shares
    costs = {times: side.cost for times, (side,) in rounds.sides.items()}
    rates = {times: side.rate for times, (side,) in rounds.sides.items()}
    assert share == pytest.approx(100 * 2 / 102, rel=0.02)
    assert costs == pytest.approx({NEVER: 100, ONCE: 102, OFTEN: 116}, rel=0.01)
    assert rates == pytest.approx({NEVER: 10_000, ONCE: 9_804, OFTEN: 8_621}, rel=0.01)
