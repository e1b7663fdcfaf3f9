"""`python -m grafana.source` writes every generated file into the working copy."""

from collections.abc import Mapping
from pathlib import Path

from grafana.source import chart, made


def write(directory: Path, files: Mapping[str, str]) -> None:
    """Write all of them below a directory; folders are made as needed."""
    for path, text in files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def renew(directory: Path) -> None:
    """Write what is generated within the files of the chart that somebody else writes."""
    for path, renewed in chart.renewed().items():
        file = directory / path
        file.write_text(renewed(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    root = Path(__file__).parents[2]
    write(root / "grafana", made())
    write(root, chart.made())
    renew(root)
