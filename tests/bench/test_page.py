"""What a run writes into docs/performance.md."""

from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from bench.figures import Curve, Machine, Report, Row, Target
from bench.page import BEGIN, END, renewed, renewed_scaling
from bench.plot import draw

PAGE = Path(__file__).parents[2] / "docs/performance.md"
ROWS = (
    Row(
        scenario="single",
        what="single items & all",
        unit="/s",
        rounds=(10_000.0, 9_000.0, 11_000.0),
        bare_rounds=(20_000.0,),
        target=Target(least=0.4, is_ratio=True),
    ),
    Row(
        scenario="backlog",
        what="start until ready",
        unit="s",
        rounds=(2.5,),
        target=Target(most=2.0),
    ),
)
REPORT = Report(
    started_at="2026-11-22T12:00:00+00:00",
    commit="0123456789ab",
    machine=Machine(
        processor="A Processor",
        cores=2,
        memory_bytes=8 * 2**30,
        kernel="Linux 6",
        file_system="ext4",
        versions={"python": "3.11"},
    ),
    load=0.25,
    round_seconds=3.0,
    rows=ROWS,
    curves=(Curve(what="claim", unit="µs", points=((1e3, 10.0), (1e6, 12.0))),),
)


def test_run_is_written_between_the_marks() -> None:
    """Table, machine, commit and versions replace what was there; the rest of the page stays."""
    page = renewed(f"before\n{BEGIN}\nold\n{END}\nafter\n", REPORT)

    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert "| single | single items & all | 10,000 /s | 20,000 /s | 0.50 |" in page
    assert "| backlog | start until ready | 2.5 s |  |  | ≤ 2 s | **no** |" in page
    for origin in ("0123456789ab", "A Processor", "2 cores", "ext4", "python 3.11"):
        assert origin in page


def test_shared_store_has_a_page_of_its_own() -> None:
    """What was measured on a shared store, and nothing else, is written there, if there is any."""
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    shared = Row(scenario="shared-backlog", what="claims on PostgreSQL", unit="µs", rounds=(40.0,))

    written = renewed_scaling(page, msgspec.structs.replace(REPORT, rows=(*ROWS, shared)))

    assert "| shared-backlog | claims on PostgreSQL | 40 µs |" in written
    assert "start until ready" not in written
    assert renewed_scaling(page, REPORT) == page


def test_same_run_changes_nothing() -> None:
    """Writing a run again leaves the page as it is."""
    page = renewed(f"{BEGIN}{END}", REPORT)

    assert renewed(page, REPORT) == page


def test_page_without_marks_is_refused() -> None:
    """Nothing is written where there is no place for it."""
    with pytest.raises(ValueError, match="bench:begin"):
        renewed("no marks", REPORT)


def test_the_page_has_a_place_for_a_run() -> None:
    """docs/performance.md has both marks."""
    assert "commit `0123456789ab`" in renewed(PAGE.read_text(encoding="utf-8"), REPORT)


def test_plot_shows_rates_and_curves() -> None:
    """The plot is well-formed, labels each rate, and has a line per curve."""
    drawing = ET.fromstring(draw(REPORT))  # noqa: S314 - drawn right here

    said = {node.text for node in drawing.iter() if node.tag.endswith("text")}
    lines = [node for node in drawing.iter() if node.tag.endswith("polyline")]
    assert {"single items & all", "10,000 /s", "claim", "1,000,000"} <= said
    assert len(lines) == 1


def test_plot_of_some_scenarios_is_drawn() -> None:
    """A run of one scenario has one chart, and a run without rates or curves an empty plot."""
    some = msgspec.structs.replace(REPORT, curves=())
    none = msgspec.structs.replace(some, rows=ROWS[1:])

    assert "polyline" not in draw(some)
    assert "text" not in draw(none)
