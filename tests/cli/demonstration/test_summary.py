"""The two sets of books: every figure is compared, and a difference is told."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tirelessd.cli.demonstration.client import Counters, DeadLetter
from tirelessd.cli.demonstration.display import Standing
from tirelessd.cli.demonstration.predictions import Call, Tally
from tirelessd.cli.demonstration.summary import Entry, audit, compare, tell

LETTER = DeadLetter(item=3, id="0193", attempts=2, last_error="HTTP 500: [no] model")

EXPOSITION = """\
# TYPE tirelessd_items_accepted_total counter
tirelessd_items_accepted_total{queue="predictions"} 3.0
tirelessd_items_accepted_total{queue="other"} 9.0
# TYPE tirelessd_attempts_total counter
tirelessd_attempts_total{queue="predictions",outcome="success",reason="none"} 2.0
tirelessd_attempts_total{queue="predictions",outcome="retry",reason="http_5xx"} 2.0
tirelessd_attempts_total{queue="predictions",outcome="give_up",reason="http_5xx"} 1.0
tirelessd_attempts_total{queue="predictions",outcome="released",reason="drain"} 0.0
# TYPE tirelessd_items_completed_total counter
tirelessd_items_completed_total{queue="predictions",outcome="succeeded",retried="false"} 1.0
tirelessd_items_completed_total{queue="predictions",outcome="succeeded",retried="true"} 1.0
tirelessd_items_completed_total{queue="predictions",outcome="dead",retried="true"} 1.0
# TYPE tirelessd_items_dead_total counter
tirelessd_items_dead_total{queue="predictions",reason="max_attempts"} 1.0
"""


@pytest.fixture
def tally() -> Tally:
    """What the server counted: item 1 at once, item 2 at the second try, item 3 never."""
    tally = Tally()
    for item, is_success in [(1, True), (2, False), (2, True), (3, False), (3, False)]:
        tally.add(item, Call(is_success, 0.5))
    return tally


@pytest.fixture
def console() -> Console:
    """A console that writes into a text."""
    return Console(file=io.StringIO(), soft_wrap=True, highlight=False)


def written(console: Console) -> str:
    """What was printed."""
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_books_of_one_run_agree(tally: Tally) -> None:
    """The daemon's counters of a run are those of the server's tally."""
    entries = compare(3, Counters(EXPOSITION), [LETTER], tally)

    assert [entry for entry in entries if not entry.agrees] == []
    assert [entry.server for entry in entries] == [3, 3, 2, 3, 2, 1, 1, 2]


@pytest.mark.parametrize(
    ("counted", "miscounted", "entry"),
    [
        ('accepted_total{queue="predictions"} 3', 'accepted_total{queue="predictions"} 2', 1),
        ('outcome="success",reason="none"} 2', 'outcome="success",reason="none"} 3', 2),
        ('outcome="retry",reason="http_5xx"} 2', 'outcome="retry",reason="http_5xx"} 1', 3),
        ('outcome="released",reason="drain"} 0', 'outcome="released",reason="drain"} 1', 3),
        ('outcome="succeeded",retried="false"} 1', 'outcome="succeeded",retried="false"} 2', 4),
        ('reason="max_attempts"} 1', 'reason="max_attempts"} 0', 6),
    ],
)
def test_miscount_is_found(tally: Tally, counted: str, miscounted: str, entry: int) -> None:
    """A counter that is off by one makes exactly its own entry disagree."""
    assert counted in EXPOSITION
    counters = Counters(EXPOSITION.replace(counted, miscounted))

    entries = compare(3, counters, [LETTER], tally)

    assert [index for index, each in enumerate(entries) if not each.agrees] == [entry]


def test_lost_item_is_found(tally: Tally) -> None:
    """An item that was answered 202 and never reached the server is a disagreement."""
    entries = compare(4, Counters(EXPOSITION), [LETTER], tally)

    assert [entry.what for entry in entries if not entry.agrees] == ["items answered with 202"]


def test_agreement_is_said(console: Console) -> None:
    """Books that agree are printed side by side."""
    does_agree = audit(console, [Entry("items accepted", 3, 3)])

    assert does_agree
    assert written(console).endswith("\nThey agree.\n")


def test_disagreement_is_named(console: Console) -> None:
    """Books that do not agree are named."""
    does_agree = audit(console, [Entry("items", 3, 3), Entry("  attempts", 3, 4)])

    assert not does_agree
    assert written(console).endswith("\nThey disagree on: attempts.\n")


def test_summary_tells_the_whole_story(console: Console, tally: Tally) -> None:
    """How many, how long, how long without slots, and who gave up with which words."""
    standing = Standing(elapsed_seconds=0.5, succeeded=2, retrying=0, gave_up=1)

    tell(console, standing, [LETTER], tally)

    assert written(console) == (
        "\n2 of 3 predictions succeeded, 1 gave up, in 0.5 s.\n"
        "One at a time, the same 5 calls would have taken 2.5 s: 5.0 times as long.\n\n"
        "Gave up on item 3 after 2 attempts.\n"
        "  last error: HTTP 500: [no] model\n\n"
    )
