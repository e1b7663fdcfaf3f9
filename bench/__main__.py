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

from bench.figures import Found, Report
from bench.machine import commit, this_machine
from bench.page import renewed, renewed_scaling
from bench.plot import draw
from bench.processes import ROOT, BenchFailed
from bench.run import Run
from bench.scenarios import SCENARIOS
from bench.table import for_terminal
from tirelessd.core.clock import SystemClock, instant

FOLDER: Final = ROOT / ".bench"
RESULTS: Final = "results.json"
PAGE: Final = ROOT / "docs/performance.md"
SCALING: Final = "scaling.md"
WIDTH: Final = 160
# Above it somebody else had more than half a processor.
CALM_LOAD: Final = 0.5

program = typer.Typer(add_completion=False, help="Benchmarks of tirelessd.")


@program.command()
def run(
    only: Annotated[str, typer.Option(help="Scenarios, separated by commas; all if empty.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each figure.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.2, help="Seconds of one round.")] = 3.0,
    largest: Annotated[int, typer.Option(min=1_000, help="The largest backlog.")] = 1_000_000,
    folder: Annotated[Path, typer.Option(help="Where data is put: on a real disk.")] = FOLDER,
) -> None:
    """Measure, print the table, and keep it as JSON in the folder."""
    console = Console(width=WIDTH)
    names = [name for name in only.split(",") if name] or [*SCENARIOS]
    if unknown := sorted({*names} - {*SCENARIOS}):
        console.print(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
        raise typer.Exit(2)
    folder.mkdir(parents=True, exist_ok=True)
    # What an interrupted run left behind would be counted.
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    measuring = Run(data, SystemClock(), console, rounds=rounds, seconds=seconds, largest=largest)
    try:
        report = asyncio.run(_measure(names, measuring, folder))
    except BenchFailed as error:
        console.print(f"failed: {error}", markup=False)
        raise typer.Exit(1) from None
    shutil.rmtree(data)
    console.print(for_terminal(report.rows))
    (folder / RESULTS).write_bytes(msgspec.json.format(msgspec.json.encode(report)))


async def _measure(names: list[str], run: Run, folder: Path) -> Report:
    machine = this_machine(folder)
    started_at, load = instant(run.clock.wall()), os.getloadavg()[0]
    if load > CALM_LOAD:
        run.say(f"the load average is {load:.2f}: what else runs here is in every figure")
    found: list[Found] = []
    for name in names:
        run.say(f"{name} ...")
        found.append(await SCENARIOS[name](run))
    return Report(
        started_at=started_at.isoformat(timespec="seconds"),
        commit=commit(),
        machine=machine,
        load=load,
        round_seconds=run.seconds,
        rows=tuple(row for each in found for row in each.rows),
        curves=tuple(curve for each in found for curve in each.curves),
    )


@program.command()
def render(
    results: Annotated[Path, typer.Option(help="What a run kept.")] = FOLDER / RESULTS,
    page: Annotated[Path, typer.Option(help="The page to renew.")] = PAGE,
) -> None:
    """Write a run's table and plot into the page, and the shared store's into the one beside it."""
    report = msgspec.json.decode(results.read_bytes(), type=Report)
    text = renewed(page.read_text(encoding="utf-8"), report)
    page.with_suffix(".svg").write_text(draw(report), encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    scaling = page.with_name(SCALING)
    scaling.write_text(renewed_scaling(scaling.read_text(encoding="utf-8"), report), "utf-8")


if __name__ == "__main__":
    program()
