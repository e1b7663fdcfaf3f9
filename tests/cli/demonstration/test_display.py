"""The progress display: live on a terminal, a line a second elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from tirelessd.cli.demonstration.display import Standing, progress


def test_standing_reads_as_a_line() -> None:
    """Elapsed time and the three counts stand on one line."""
    line = str(Standing(1.25, succeeded=38, retrying=4, gave_up=1))

    assert line == "  1.2 s   succeeded  38   retrying  4   gave up 1"


def test_plain_output_has_a_line_a_second() -> None:
    """Elsewhere than on a terminal, what comes within a second of a line is left out."""
    console = Console(file=io.StringIO(), soft_wrap=True)

    with progress(console, items=10) as show:
        for tenths in range(25):
            show(Standing(tenths / 10, succeeded=tenths // 5, retrying=0, gave_up=0))

    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[0] for line in lines] == ["0.0", "1.0", "2.0"]


def test_terminal_shows_a_bar_and_clears_it() -> None:
    """On a terminal the line is redrawn in place and gone at the end."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120)

    with progress(console, items=10) as show:
        show(Standing(0.5, succeeded=5, retrying=2, gave_up=0))

    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "succeeded   5   retrying  2   gave up 0" in drawn
    assert drawn.endswith("\x1b[2K")
