"""What stands in grafana/ and in the chart is what its source makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafana.source import chart, made
from grafana.source.__main__ import write

ROOT = Path(__file__).parents[2]
MADE = {**{f"grafana/{path}": text for path, text in made().items()}, **chart.made()}


@pytest.mark.parametrize("path", MADE)
def test_no_file_is_stale(path: str) -> None:
    """`make grafana` renews them."""
    assert (ROOT / path).read_text(encoding="utf-8") == MADE[path], "run `make grafana`"


@pytest.mark.parametrize("path", chart.renewed())
def test_no_part_of_a_file_is_stale(path: str) -> None:
    """The chart's values and their schema name each alert, with what may be chosen of it."""
    text = (ROOT / path).read_text(encoding="utf-8")

    assert chart.renewed()[path](text) == text, "run `make grafana`"


def test_values_without_a_place_for_alerts_are_an_error() -> None:
    """Or the alerts would be missing, and nobody would know why."""
    with pytest.raises(ValueError, match="no lines"):
        chart.renewed_values("monitoring: {}\n")


def test_no_file_is_left_over() -> None:
    """A file that its source no longer makes is gone, too."""
    there = {
        str(path.relative_to(ROOT))
        for folder in {Path(path).parent for path in MADE}
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }

    assert there == set(MADE)


def test_all_of_them_are_written(tmp_path: Path) -> None:
    """Into folders that need not be there."""
    write(tmp_path, MADE)

    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert written == set(MADE)
