"""The histograms' bounds, and the promises that must lie within them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.documents import document, problems, with_queue
from tirelessd.core.buckets import Buckets
from tirelessd.settings import parse


def test_every_list_can_be_replaced() -> None:
    """One by one: what is not named keeps its bounds."""
    for name in Buckets.__struct_fields__:
        # Ones that the targets of a queue, which has defaults too, lie within.
        wish = {"metrics": {"buckets": {name: [1, 400.5]}}}

        buckets = parse(document(**wish)).metrics.buckets.buckets()

        assert buckets == Buckets(**{name: (1.0, 400.5)})


def test_the_defaults_are_those_of_the_metrics() -> None:
    """A daemon and its metrics cannot disagree about what nobody has set."""
    assert parse(document()).metrics.buckets.buckets() == Buckets()


@pytest.mark.parametrize(
    ("bounds", "line"),
    [
        ([], "metrics.buckets.http: must not be empty"),
        ([1, 1], "metrics.buckets.http: must grow from bound to bound"),
        ([2, 1], "metrics.buckets.http: must grow from bound to bound"),
        ([0, 1], "metrics.buckets.http[0]: must be more than 0"),
        (list(range(1, 32)), "metrics.buckets.http: must have at most 30 entries"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(bounds: list[int], line: str) -> None:
    """The line names the list."""
    (said,) = problems(document(metrics={"buckets": {"http": bounds}}))

    assert said.startswith(line)


@pytest.mark.parametrize(
    ("slo", "line"),
    [
        (
            {"wait_seconds": 21_601, "end_to_end_seconds": 30_000},
            (
                "queues.q.slo.wait_seconds: must lie within metrics.buckets.wait,"
                " from 0.01 to 21600 (got 21601)"
            ),
        ),
        (
            {"wait_seconds": 0.009},
            (
                "queues.q.slo.wait_seconds: must lie within metrics.buckets.wait,"
                " from 0.01 to 21600 (got 0.009)"
            ),
        ),
        (
            {"end_to_end_seconds": 259_201},
            (
                "queues.q.slo.end_to_end_seconds: must lie within metrics.buckets.end_to_end,"
                " from 0.05 to 259200 (got 259201)"
            ),
        ),
    ],
)
def test_a_promise_beyond_the_bounds_is_refused(slo: dict[str, Any], line: str) -> None:
    """Nobody could see in a histogram whether it was kept."""
    assert problems(with_queue(slo=slo)) == [line]


def test_wider_bounds_allow_wider_promises() -> None:
    """The bounds that count are the configured ones."""
    wider = {"buckets": {"wait": [1, 60, 86_400], "end_to_end": [1, 60, 172_800]}}
    slo = {"wait_seconds": 86_400, "end_to_end_seconds": 172_800}

    assert problems(with_queue(slo=slo) | {"metrics": wider}) == []
