"""The part of docs/performance.md that a run writes; the rest of the page is people's."""

from __future__ import annotations

from typing import Final

from bench.figures import Machine, Report
from bench.table import for_page

BEGIN: Final = "<!-- bench:begin: written by make bench-docs -->"
END: Final = "<!-- bench:end -->"
GIBIBYTE: Final = 2**30


def renewed(page: str, report: Report) -> str:
    """The page with this run between its marks; raises `ValueError` when it has not both."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{written(report)}\n\n{END}{after}"


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
