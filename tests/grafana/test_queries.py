"""What a query asks for is found, and what is not there is named."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.grafana.names import known_names, problems
from tests.grafana.queries import RATE_INTERVAL, Match, grouped_labels, selectors

KNOWN = known_names()


def test_every_selector_is_found() -> None:
    """Name, matchers, range and what stands around, in every corner of an expression."""
    query = (
        'sum by (queue) (rate(a_total{job=~"$job",x!="y"}[$__rate_interval]))'
        " / on (queue) group_left (version) max_over_time((b > 0)[1h:5m]) unless -c"
    )

    first, second, third = selectors(query)

    assert (first.name, first.range, first.around) == ("a_total", RATE_INTERVAL, ("rate", "sum"))
    assert first.matches == (Match("job", "=~", "$job"), Match("x", "!=", "y"))
    assert (second.name, second.range) == ("b", timedelta(hours=1))
    assert (third.name, third.range, third.around) == ("c", None, ())


def test_labels_that_are_gone_by_are_found() -> None:
    """Those of aggregations, of matches between vectors, and those that are taken over."""
    query = "sum by (a) (x) / on (b, c) group_left (d) max(sort(min by (e) (y)))"

    assert grouped_labels(query) == {"a", "b", "c", "d", "e"}


def test_no_query_is_an_error() -> None:
    """What does not parse is told, and why."""
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        selectors("sum by (a (x)")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("tirelessd_gone_total", ["no metric tirelessd_gone_total"]),
        ("up{job='tirelessd'} == 0", []),
        (
            "tirelessd_slots{state='ready'}",
            ["tirelessd_slots has no label state"],
        ),
        (
            "tirelessd_queue_items{state=~'ready|waiting'}",
            ["tirelessd_queue_items: state is never waiting"],
        ),
        (
            "tirelessd_queue_items{state!='done'}",
            ["tirelessd_queue_items: state is never done"],
        ),
        ("tirelessd_queue_items{state=~'re.*', queue=~'$queue', job=~'$job'}", []),
        ("tirelessd_item_wait_seconds_bucket{le='30.0', phase='first'}", []),
        ("sum by (colour) (tirelessd_slots)", ["no label colour"]),
    ],
)
def test_what_is_not_there_is_named(query: str, said: list[str]) -> None:
    """An unknown metric, label or value of a label fails the check; open values do not."""
    assert problems(query, KNOWN) == said


def test_awaited_names_are_let_pass() -> None:
    """Of a name that is promised nothing else can be checked."""
    query = "rate(tirelessd_gone_seconds_bucket{odd='1'}[5m])"

    assert problems(query, KNOWN, frozenset({"tirelessd_gone_seconds"})) == []
