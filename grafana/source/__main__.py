"""`python -m grafana.source` writes every generated file into the working copy."""

from pathlib import Path

from grafana.source import made


def write(directory: Path) -> None:
    """Write all of them below a directory; folders are made as needed."""
    for path, text in made().items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parents[1])
