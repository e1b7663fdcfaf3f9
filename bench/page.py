"""The parts of docs/performance.md and docs/scaling.md that a run writes; the rest is people's."""

from __future__ import annotations

from typing import Final

from bench.figures import Machine, Report
from bench.table import for_page

BEGIN: Final = "<!-- bench:begin: written by make bench-docs -->"
END: Final = "<!-- bench:end -->"
SHARED: Final = "shared"
GIBIBYTE: Final = 2**30


def renewed(page: str, report: Report) -> str:
    """The page with this run between its marks; raises `ValueError` when it has not both."""
    return _between_marks(page, written(report))


def renewed_scaling(page: str, report: Report) -> str:
    """The same with what was measured on a shared store alone; as it was if nothing was."""
    rows = [row for row in report.rows if row.scenario.startswith(SHARED)]
    if not rows:
        return page
    return _between_marks(page, f"{_origin(report)}\n\n{for_page(rows)}")


def _between_marks(page: str, text: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def written(report: Report) -> str:
    """Where and when it was measured, the table, and the plot."""
    return "\n\n".join(
        (
            _origin(report),
            for_page(report.rows),
            "![Throughput beside its ceiling; claims beside backlogs](performance.svg)",
        )
    )


def _origin(report: Report) -> str:
    machine = report.machine
    return (
        f"Measured at {report.started_at}, commit `{report.commit}`, in rounds of"
        f" {report.round_seconds:g} s, on {_place(machine)}."
        f" The load average was {report.load:.2f} when the run began."
    )


def _place(machine: Machine) -> str:
    versions = ", ".join(f"{name} {text}" for name, text in machine.versions.items())
    return (
        f"{machine.processor} ({machine.cores} cores,"
        f" {machine.memory_bytes / GIBIBYTE:.0f} GiB), {machine.kernel}, data on"
        f" {machine.file_system}; {versions}"
    )
