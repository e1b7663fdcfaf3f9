"""What stands in grafana/ is what its source makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafana.source import made
from grafana.source.__main__ import write

ROOT = Path(__file__).parents[2] / "grafana"
MADE = made()


@pytest.mark.parametrize("path", MADE)
def test_no_file_is_stale(path: str) -> None:
    """`make grafana` renews them."""
    assert (ROOT / path).read_text(encoding="utf-8") == MADE[path], "run `make grafana`"


def test_no_file_is_left_over() -> None:
    """A file that its source no longer makes is gone, too."""
    there = {
        str(path.relative_to(ROOT))
        for folder in {Path(path).parts[0] for path in MADE}
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }

    assert there == set(MADE)


def test_all_of_them_are_written(tmp_path: Path) -> None:
    """Into folders that need not be there."""
    write(tmp_path)

    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert written == set(MADE)
