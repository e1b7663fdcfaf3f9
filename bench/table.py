"""Figures as people read them, in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.table import Table

from bench.figures import Row, Target, Unit

HEADINGS: Final = ("scenario", "figure", "daemon", "bare", "ratio", "target", "met")
# So many figures of a number are told; more would only repeat the noise.
SIGNIFICANT: Final = 3
WORDS: Final = {True: "yes", False: "**no**", None: ""}


def in_words(figure: float | None, unit: Unit) -> str:
    """A figure with its unit, rounded; nothing for None."""
    if figure is None:
        return ""
    if unit == "/s":
        return f"{figure:,.0f} /s"
    return f"{_rounded(figure)} {unit}"


def _rounded(figure: float) -> str:
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.{SIGNIFICANT}g}"


def target_in_words(target: Target | None, unit: Unit) -> str:
    """The bound as a reader would say it."""
    if target is None:
        return ""
    bounds = ((target.least, "≥"), (target.most, "≤"))
    return " and ".join(
        f"{sign} {f'{bound:.2f} of bare' if target.is_ratio else in_words(bound, unit)}"
        for bound, sign in bounds
        if bound is not None
    )


def cells(row: Row) -> tuple[str, ...]:
    """A row under `HEADINGS`."""
    ratio = row.ratio
    return (
        row.scenario,
        row.what,
        in_words(row.value, row.unit),
        in_words(row.bare, row.unit),
        f"{ratio:.2f}" if ratio is not None else "",
        target_in_words(row.target, row.unit),
        WORDS[row.is_met],
    )


def for_terminal(rows: Iterable[Row]) -> Table:
    """The table as rich draws it."""
    table = Table(*HEADINGS, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(cell.strip("*") for cell in cells(row)))
    return table


def for_page(rows: Iterable[Row]) -> str:
    """The table in Markdown."""
    lines = [HEADINGS, ("---", "---", "---:", "---:", "---:", "---", "---"), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
