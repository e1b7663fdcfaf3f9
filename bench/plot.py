"""The plot, as plain SVG: throughput beside its ceiling, and what backlogs cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from bench.figures import Curve, Report, Row
from bench.table import in_words

WIDTH: Final = 960
MARGIN: Final = 24
LABELS: Final = 400
BAR: Final = 22
BAR_STEP: Final = 34
CURVES_HEIGHT: Final = 260
LEGEND: Final = 190
# In pairs, dark and light: curves come as a claim and a settle of each kind.
COLOURS: Final = (
    *("#1b6ca8", "#7fb2d9", "#d1495b", "#e8a0a9", "#3a7d44", "#93c39b"),
    *("#6b4c9a", "#b39ddb", "#b8860b", "#e0c068", "#2f8f8f", "#95cfcf"),
)
TICK: Final = "#d1495b"
INK: Final = "#24292f"
PALE: Final = "#d8dee4"


def draw(report: Report) -> str:
    """Both charts, one below the other; a chart without figures is left out."""
    bars = [row for row in report.rows if row.unit == "/s" and row.ratio is not None]
    curves = report.curves
    bars_height = MARGIN + 30 + BAR_STEP * len(bars) if bars else 0
    curves_height = CURVES_HEIGHT + 90 if curves else 0
    height = bars_height + curves_height + MARGIN
    parts = [f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>']
    if bars:
        parts += _bars(bars)
    if curves:
        parts += _curves(curves, bars_height + MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="system-ui, sans-serif" font-size="13">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(x: float, y: float, said: str, *, anchor: str = "start", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
        f' fill="{INK}">{escape(said)}</text>'
    )


def _line(from_x: float, from_y: float, to_x: float, to_y: float, colour: str) -> str:
    return (
        f'<line x1="{from_x:.1f}" y1="{from_y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
        f' stroke="{colour}" stroke-width="1.5"/>'
    )


def _bars(rows: Sequence[Row]) -> Iterator[str]:
    """A bar per rate, before a pale one of its counterpart's; a tick where the target is."""
    yield _text(MARGIN, MARGIN + 6, "Items a second, before their counterpart's (pale)", size=15)
    room = WIDTH - LABELS - 3 * MARGIN - 60
    most = max(max(row.value, row.bare or 0.0, _least_rate(row) or 0.0) for row in rows)
    for number, row in enumerate(rows):
        top = MARGIN + 30 + number * BAR_STEP
        left = LABELS + 10
        yield _text(LABELS, top + 15, row.what, anchor="end", size=12)
        yield _rectangle(left, top, room * (row.bare or 0.0) / most, BAR, PALE)
        yield _rectangle(left, top + 5, room * row.value / most, BAR - 10, COLOURS[0])
        if (least := _least_rate(row)) is not None:
            at = left + room * least / most
            yield _line(at, top - 3, at, top + BAR + 3, TICK)
        yield _text(left + 6 + room, top + 15, in_words(row.value, row.unit), size=12)


def _least_rate(row: Row) -> float | None:
    """The target as a rate, when it is a lower bound."""
    if row.target is None or row.target.least is None:
        return None
    return row.target.least * (row.bare or 0.0) if row.target.is_ratio else row.target.least


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def _curves(curves: Sequence[Curve], top: float) -> Iterator[str]:
    """A line per kind of backlog, over its size in powers of ten."""
    yield _text(MARGIN, top + 6, "µs an item, beside a backlog of so many items", size=15)
    frame = _Frame(curves, top + 30)
    yield from frame.axes()
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(frame.place, curve.points))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        x, y = frame.right + 16, top + 40 + 20 * number
        yield _line(x, y - 4, x + 22, y - 4, colour)
        yield _text(x + 30, y, curve.what, size=12)


class _Frame:
    """Where sizes and figures are on the drawing."""

    def __init__(self, curves: Sequence[Curve], top: float) -> None:
        sizes = sorted({size for curve in curves for size, _ in curve.points})
        figures = [figure for curve in curves for _, figure in curve.points]
        self._sizes = sizes
        self._step = _round_step(max(figures))
        self._most = self._step * math.ceil(max(figures) / self._step)
        self._top, self._bottom = top, top + CURVES_HEIGHT
        self._left, self.right = MARGIN + 50.0, float(WIDTH - MARGIN - LEGEND)

    def place(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a point is."""
        size, figure = point
        first, last = math.log10(self._sizes[0]), math.log10(self._sizes[-1])
        share = (math.log10(size) - first) / (last - first or 1.0)
        across = self._left + share * (self.right - self._left)
        return across, self._bottom - figure / self._most * (self._bottom - self._top)

    def axes(self) -> Iterator[str]:
        """Both axes with what they are labelled with."""
        for number in range(round(self._most / self._step) + 1):
            figure = number * self._step
            _, y = self.place((self._sizes[0], figure))
            yield _line(self._left, y, self.right, y, PALE)
            yield _text(self._left - 8, y + 4, f"{figure:g}", anchor="end", size=12)
        for size in self._sizes:
            x, y = self.place((size, 0.0))
            yield _text(x, y + 20, f"{size:,.0f}", anchor="middle", size=12)


def _round_step(most: float) -> float:
    """A step that divides an axis up to `most` into four or fewer parts; `most` is above 0."""
    power = 10.0 ** math.floor(math.log10(most / 4))
    return next(power * each for each in (1, 2, 5, 10) if power * each * 4 >= most)
