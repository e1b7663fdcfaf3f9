"""The arithmetic of the table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Row, Target, percentile


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.01, 1), (0.07, 7), (0.5, 50), (0.99, 99), (1.0, 100)]
)
def test_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    """Of a hundred values the n-th percentile is the n-th value."""
    ranked = [float(number) for number in range(1, 101)]

    assert percentile(ranked, share) == value


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_percentile_covers_its_share(values: list[float], share: float) -> None:
    """At least the share of the values is at or below the percentile, which is one of them."""
    ranked = sorted(values)

    found = percentile(ranked, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_percentile_of_nothing_is_nought() -> None:
    """A load that got no answer has latencies of 0."""
    assert percentile([], 0.99) == 0.0


def make_row(target: Target | None = None) -> Row:
    """Three rounds, of which each side had a bad one."""
    return Row(
        scenario="single",
        what="items",
        unit="/s",
        rounds=(40.0, 1.0, 50.0),
        bare_rounds=(100.0, 80.0, 10.0),
        target=target,
    )


def test_one_bad_round_does_not_count() -> None:
    """Value and counterpart are medians, and the ratio is theirs."""
    row = make_row()

    assert (row.value, row.bare, row.ratio) == (40.0, 80.0, 0.5)


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        (None, None),
        (Target(least=0.5, is_ratio=True), True),
        (Target(least=0.51, is_ratio=True), False),
        (Target(most=0.5, is_ratio=True), True),
        (Target(least=40), True),
        (Target(least=41), False),
        (Target(most=39), False),
    ],
)
def test_target_is_met_or_not(target: Target | None, is_met: bool | None) -> None:  # noqa: FBT001
    """A target bounds the value or the ratio, and its bounds belong to it."""
    assert make_row(target).is_met is is_met


def test_ratio_without_counterpart_meets_nothing() -> None:
    """A target on a ratio that could not be measured is missed, not skipped."""
    row = Row(
        scenario="single",
        what="items",
        unit="/s",
        rounds=(1.0,),
        target=Target(least=0.1, is_ratio=True),
    )

    assert row.ratio is None
    assert row.is_met is False
