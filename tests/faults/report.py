"""What the experiments came to: one JSON line each in build/faults, and a table in the docs.

`python -m tests.faults.report` renews the table in docs/operations.md from the lines.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "faults" / "report.jsonl"
PAGE = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- experiments: begin -->", "<!-- experiments: end -->"


Verdict = Literal["green", "red", "skipped"]


class Figures(msgspec.Struct, frozen=True):
    """What an experiment is reported with."""

    acked: int
    ambiguous: int
    lost: int
    duplicates: int
    p99_ms: float
    rss_peak_mib: float
    heal_seconds: float


class Line(msgspec.Struct, frozen=True):
    """One run of one test of a row.

    `tree` names the code it ran on; it is empty when there were uncommitted changes. `why` tells
    for what reason a row was skipped.
    """

    row: str
    test: str
    form: str
    seed: int
    commit: str
    tree: str
    verdict: Verdict
    seconds: float
    why: str = ""
    figures: Figures | None = None


def git(*words: str) -> str:
    """What git says, empty when it cannot."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)  # noqa: S607
    return done.stdout.decode().strip()


def revision() -> tuple[str, str]:
    """The commit, and the name of the code that experiments depend on."""
    parts = ("src", "tests/faults", "requirements")
    tree = "-".join(git("rev-parse", "--short", f"HEAD:{part}") for part in parts)
    is_changed = bool(git("status", "--porcelain", "--", *parts))
    return git("rev-parse", "--short", "HEAD") + "+" * is_changed, "" if is_changed else tree


def read() -> list[Line]:
    """Every line so far."""
    if not REPORT.exists():
        return []
    return [msgspec.json.decode(text, type=Line) for text in REPORT.read_bytes().splitlines()]


def add(line: Line) -> None:
    """Append a line."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    with REPORT.open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")


def green_before() -> set[tuple[str, str]]:
    """The tests, each with its form, that were green on the code as it stands."""
    _, tree = revision()
    green = [line for line in read() if line.verdict == "green" and line.tree]
    return {(line.test, line.form) for line in green if line.tree == tree}


def table(lines: list[Line]) -> str:
    """The last run of each test, as a Markdown table."""
    last = {line.test: line for line in lines}
    head = (
        "| row | test | seed | acked | ambiguous | lost | duplicates | p99 ms | RSS peak MiB "
        "| seconds to heal | commit | |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |\n"
    )
    return head + "".join(table_row(line) for _, line in sorted(last.items(), key=by_row))


def by_row(pair: tuple[str, Line]) -> tuple[str, int, str]:
    """Rows in the order of the plan: by letter, then by number."""
    number = re.search(r"\d+", pair[1].row)
    return pair[1].row[:1], int(number[0]) if number else 0, pair[0]


def table_row(line: Line) -> str:
    """One line of the table."""
    numbers = None if line.figures is None else msgspec.structs.astuple(line.figures)
    figures = ["-"] * len(Figures.__struct_fields__) if numbers is None else map(str, numbers)
    name = line.test.partition("::")[2].removeprefix("test_").replace("_", " ")
    verdict = {"green": "green", "red": "**red**", "skipped": f"skipped: {line.why}"}[line.verdict]
    cells = [line.row, name, str(line.seed), *figures, line.commit, verdict]
    return "| " + " | ".join(cells) + " |\n"


def main() -> None:
    """Renew the table in the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    text = f"{before}{BEGIN}\n\n{table(read())}\n{END}{after}"
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(table(read()))


if __name__ == "__main__":
    main()
