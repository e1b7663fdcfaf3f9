"""Numbers and names in the pictures are as the dashboards would show them."""

from __future__ import annotations

import math

import pytest

from grafana.source.pictures.answers import Answer, Line, name_of
from grafana.source.pictures.units import shown


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"),
        (0.0123, "s", "12.3 ms"),
        (90, "s", "1.5 min"),
        (7200, "s", "2 h"),
        (1_048_576, "bytes", "1 MiB"),
        (0.125, "percentunit", "12.5%"),
        (1234, "short", "1.23 K"),
        (0.25, "short", "0.25"),
        (3.5, "ops", "3.5 ops/s"),
        (math.nan, "s", "no data"),
    ],
)
def test_a_number_has_its_unit(value: float, unit: str, text: str) -> None:
    """Three digits that count, in the largest unit that it reaches."""
    assert shown(value, unit) == text


@pytest.mark.parametrize(
    ("legend", "name"), [("{{queue}} p99", "work p99"), ("target", "target"), ("", "work a")]
)
def test_a_series_is_named_by_its_legend(legend: str, name: str) -> None:
    """Its labels stand in for a legend that there is not."""
    line = Line({"queue": "work", "pod": "a"}, [(1.0, 2.0), (2.0, None)])

    assert name_of(Answer("A", legend, [line]), line) == name
    assert line.last == 2.0
