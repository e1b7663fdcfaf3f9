"""`python -m bench run` measures; `python -m bench render` writes the page."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from bench.figures import Report, Row
from bench.machine import commit, this_machine
from bench.processes import ROOT, BenchFailed
from bench.run import Run
from bench.scenarios import SCENARIOS
from bench.table import for_terminal
from tirelessd.core.clock import SystemClock, instant

FOLDER: Final = ROOT / ".bench"
RESULTS: Final = "results.json"
WIDTH: Final = 160

program = typer.Typer(add_completion=False, no_args_is_help=True)


@program.callback()
def describe() -> None:
    """Benchmarks of tirelessd."""


@program.command()
def run(
    only: Annotated[str, typer.Option(help="Scenarios, separated by commas; all if empty.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each figure.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.2, help="Seconds of one round.")] = 3.0,
    folder: Annotated[Path, typer.Option(help="Where data is put: on a real disk.")] = FOLDER,
) -> None:
    """Measure, print the table, and keep it as JSON in the folder."""
    console = Console(width=WIDTH)
    names = [name for name in only.split(",") if name] or [*SCENARIOS]
    if unknown := sorted({*names} - {*SCENARIOS}):
        console.print(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
        raise typer.Exit(2)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        report = asyncio.run(_measure(names, folder, console, rounds, seconds))
    except BenchFailed as error:
        console.print(f"failed: {error}", markup=False)
        raise typer.Exit(1) from None
    console.print(for_terminal(report.rows))
    (folder / RESULTS).write_bytes(msgspec.json.format(msgspec.json.encode(report)))


async def _measure(
    names: list[str], folder: Path, console: Console, rounds: int, seconds: float
) -> Report:
    machine, clock = this_machine(folder), SystemClock()
    started_at, load = instant(clock.wall()), os.getloadavg()[0]
    rows: list[Row] = []
    for name in names:
        data = folder / "data"
        # What an interrupted run left behind would be counted.
        shutil.rmtree(data, ignore_errors=True)
        console.print(f"{name} ...")
        rows += await SCENARIOS[name](Run(data, clock, console, rounds, seconds))
        shutil.rmtree(data)
    return Report(
        started_at=started_at.isoformat(timespec="seconds"),
        commit=commit(),
        machine=machine,
        load=load,
        round_seconds=seconds,
        rows=tuple(rows),
    )


if __name__ == "__main__":
    program()
