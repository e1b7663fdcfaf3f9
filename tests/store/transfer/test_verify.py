"""What tells two sides apart, down to the column."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tirelessd.store.transfer.rows import FAILURES, KEYS, RESULTS, Row, Table
from tirelessd.store.transfer.verify import Differs, Tally

ONE: Row = ("1", b"one", "text/plain")
TWO: Row = ("2", b"two", "text/plain")


@pytest.mark.parametrize(
    ("table", "expected", "found", "told"),
    [
        (RESULTS, [ONE, TWO], [TWO], "results: 1 is missing in the database"),
        (RESULTS, [TWO], [ONE, TWO], "results: 1 is in the database only"),
        (RESULTS, [ONE], [("1", b"One", "text/html")], "results: 1 differs in content, content_t"),
        (RESULTS, [ONE], [("1", b"one", None)], "results: 1 differs in content_type"),
        (FAILURES, [("1", 1, 2, 500)], [("1", 1, 3, 500)], "failures: 1 1 2 is missing"),
        (KEYS, [("q", "k")], [], "idempotency_keys: q k is missing"),
    ],
)
def test_a_difference_is_named(
    table: Table, expected: Sequence[Row], found: Sequence[Row], told: str
) -> None:
    """The table, what the row is known by, and the columns; never a value."""
    with pytest.raises(Differs, match=told):
        Tally(table).add(expected, found)


def test_the_order_of_an_answer_does_not_matter() -> None:
    """A database answers in whatever order it finds rows in."""
    tally, other = Tally(RESULTS), Tally(RESULTS)

    tally.add([ONE, TWO], [TWO, ONE])
    other.add([ONE], [ONE])
    other.add([TWO], [TWO])

    assert tally.sum() == other.sum()
    assert tally.sum().rows == 2


def test_every_bit_of_a_time_counts() -> None:
    """Nothing is rounded on the way: a due time is the same number or it is another one."""
    row: Row = ("1", 1, 1, None, 0.1 + 0.2, 0.0, "timeout", "")
    rounded = (*row[:4], 0.3, *row[5:])

    with pytest.raises(Differs, match="failures: 1 1 1 differs in started_at"):
        Tally(FAILURES).add([row], [rounded])
