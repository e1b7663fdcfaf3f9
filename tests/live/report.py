"""What the faults came to: each alert, the seconds it took to fire, and to resolve.

`python -m tests.live.report` renews the table in docs/observability.md from the last run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from grafana.source.rules import ALERTS
from tests.live.site import Seen

ROOT: Final = Path(__file__).parents[2]
REPORT: Final = ROOT / "build" / "live" / "seen.jsonl"
PAGE: Final = ROOT / "docs" / "observability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"

# What no fault fires end to end here, and why; promtool tries these as it tries all others.
UNFIRED: Final[Mapping[str, str]] = {
    "ClockSkew": "an embedded store goes by the clock of its process",
    "StoreDiskFilling": "takes a disk that fills for hours, also sixty times faster",
    "StorePoolExhausted": "takes a server so slow that every connection is in use for minutes",
    "VersionSkew": "takes two versions of the program",
}


def read() -> list[Seen]:
    """What was seen in the runs so far."""
    if not REPORT.exists():
        return []
    return [msgspec.json.decode(line, type=Seen) for line in REPORT.read_bytes().splitlines()]


def add(seen: Iterable[Seen]) -> None:
    """Append what a run came to."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    with REPORT.open("ab") as file:
        for each in seen:
            file.write(msgspec.json.encode(each) + b"\n")


def table(seen: Sequence[Seen]) -> str:
    """The last of each alert and fault, as a Markdown table; then what never fired."""
    last = {(each.alert, each.fault): each for each in seen}
    severities = {alert.name: alert.severity.value for alert in ALERTS}
    lines = [
        "| alert | severity | fault | seconds to fire | seconds to resolve |",
        "| --- | --- | --- | ---: | ---: |",
        *(
            f"| {each.alert} | {severities[each.alert]} | {each.fault} "
            f"| {each.fire_seconds:.0f} | {each.resolve_seconds:.0f} |"
            for _, each in sorted(last.items())
        ),
        "",
        "Not fired end to end here, but by promtool:",
        "",
        *(f"- {alert}: {why}." for alert, why in UNFIRED.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Renew the table in the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    text = f"{before}{BEGIN}\n\n{table(read())}\n\n{END}{after}"
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(table(read()) + "\n")


if __name__ == "__main__":
    main()
