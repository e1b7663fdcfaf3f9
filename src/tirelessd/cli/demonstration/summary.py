"""The end of the story: what became of the items, and whether two sets of books agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tirelessd.cli.demonstration.client import Counters, DeadLetter
from tirelessd.cli.demonstration.display import Standing
from tirelessd.cli.demonstration.predictions import Tally


class Entry(NamedTuple):
    """One figure, counted twice."""

    what: str
    daemon: int
    server: int

    @property
    def agrees(self) -> bool:
        """Whether both counted the same."""
        return self.daemon == self.server


def compare(
    accepted: int, counters: Counters, dead_letters: Sequence[DeadLetter], tally: Tally
) -> list[Entry]:
    """The daemon's figures beside those of the prediction server, which never saw the daemon's."""
    # A released attempt reached the server as well; in a story without a drain there is none.
    failed_attempts = sum(
        counters.total("attempts", outcome=outcome) for outcome in ("retry", "give_up", "released")
    )
    succeeded = counters.total("items_completed", outcome="succeeded")
    retried = counters.total("items_completed", outcome="succeeded", retried="true")
    unpredicted = len(tally.calls) - len(tally.predicted)
    return [
        Entry("items answered with 202", accepted, len(tally.calls)),
        Entry("items accepted", counters.total("items_accepted"), len(tally.calls)),
        Entry(
            "attempts that succeeded",
            counters.total("attempts", outcome="success"),
            tally.successes,
        ),
        Entry("attempts that failed", failed_attempts, tally.failures),
        Entry("items that succeeded", succeeded, len(tally.predicted)),
        Entry("  of these after a retry", retried, len(tally.retried)),
        Entry("items that were given up", counters.total("items_dead"), unpredicted),
        *(
            Entry(
                f"  attempts on item {letter.item}", letter.attempts, len(tally.calls[letter.item])
            )
            for letter in dead_letters
        ),
    ]


def tell(
    console: Console, standing: Standing, dead_letters: Sequence[DeadLetter], tally: Tally
) -> None:
    """Print what became of the items, and what the waiting would have been without slots."""
    calls, seconds = tally.successes + tally.failures, standing.elapsed_seconds
    console.print(
        f"\n{standing.succeeded} of {standing.ended} predictions succeeded,"
        f" {standing.gave_up} gave up, in {seconds:.1f} s."
        f"\nOne at a time, the same {calls} calls would have taken {tally.seconds:.1f} s:"
        f" {tally.seconds / seconds:.1f} times as long.\n"
    )
    for letter in dead_letters:
        console.print(f"Gave up on item {letter.item} after {letter.attempts} attempts.")
        # An upstream's words are printed as they are, whatever brackets they have.
        console.print(f"  last error: {letter.last_error}\n", markup=False)


def audit(console: Console, entries: Sequence[Entry]) -> bool:
    """Print both sets of books; answer whether they agree."""
    table = Table("", "tirelessd's /metrics", "the server's tally", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for entry in entries:
        table.add_row(entry.what, str(entry.daemon), str(entry.server))
    console.print(table)
    wrong = [entry.what.strip() for entry in entries if not entry.agrees]
    console.print(f"\nThey disagree on: {', '.join(wrong)}." if wrong else "\nThey agree.")
    return not wrong
