"""METRICS.md and docs/logs.md say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.observe.events import make_metrics
from tirelessd.observe.lines import CATALOGUE, Line
from tirelessd.observe.reference import logs_reference, metrics_reference, write_references

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["METRICS.md", "docs/logs.md"])
def test_generated_pages_are_not_stale(name: str, tmp_path: Path) -> None:
    """`make docs` renews them."""
    write_references(tmp_path)

    assert (ROOT / name).read_text() == (tmp_path / name).read_text(), "run `make docs`"


def test_every_family_stands_in_the_page_once() -> None:
    """None is missing, none is invented."""
    listed = re.findall(r"^\| `(tirelessd_\w+)`", metrics_reference(), re.MULTILINE)

    families = {f.name for f in make_metrics().registry.collect() if f.name.startswith("tireless")}
    assert len(listed) == len(set(listed))
    assert {name.removesuffix("_total").removesuffix("_info") for name in listed} == families


def test_the_page_does_not_depend_on_where_it_is_made() -> None:
    """No version, hash or time of the machine at hand."""
    assert metrics_reference() == metrics_reference()
    assert not re.search(r"`3\.\d+\.\d+`", metrics_reference())


def test_every_line_stands_in_the_page_once() -> None:
    """The catalogue is closed, and the page has all of it."""
    listed = re.findall(r"^\| `([a-z._]+)`", logs_reference(), re.MULTILINE)

    assert listed == [line.event for line in CATALOGUE]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("line", CATALOGUE, ids=lambda line: line.event)
def test_a_line_has_a_name_levels_and_a_meaning(line: Line) -> None:
    """`thing.happening`, so that lines of one thing stand together."""
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", line.event)
    assert line.levels
    assert line.meaning.endswith(".")
