"""What counting costs: the same load on the daemon as it is, and on one whose metrics see nothing.

Single items, and batches on 256 slots, where an item costs least and counting weighs most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.figures import Found, Row, Target
from bench.processes import Daemon
from bench.run import WARM_UP_SECONDS, EndToEnd, Run
from bench.scenarios import batch, single

UNCOUNTED: Final = "bench.uncounted"
QUEUES: Final = {**single.QUEUES, batch.AT_WORK: batch.make_queue()}
# A difference of some per cent needs more rounds than a difference of some times.
TIMES: Final = 2


@dataclass
class Rounds:
    """What each of the two came to, round by round."""

    counted: list[EndToEnd] = field(default_factory=list)
    uncounted: list[EndToEnd] = field(default_factory=list)


async def run_metrics(run: Run) -> Found:
    """The daemon, the daemon that does not count; and again, the other way round."""
    singles, batches = Rounds(), Rounds()
    async with (
        run.daemon("counted", QUEUES) as counted,
        run.daemon("uncounted", QUEUES, UNCOUNTED) as uncounted,
    ):
        for daemon in (counted, uncounted):
            plan = single.make_plan(daemon.port, single.PATH, WARM_UP_SECONDS)
            await run.end_to_end(daemon, single.QUEUE, plan)
        for number in range(TIMES * run.rounds):
            turns = [
                (counted, singles.counted, batches.counted),
                (uncounted, singles.uncounted, batches.uncounted),
            ]
            for daemon, its_singles, its_batches in turns[:: 1 if number % 2 else -1]:
                its_singles.append(await _singles(run, daemon))
                its_batches.append(await _batches(run, daemon))
            run.say(
                f"  round {number + 1}: single {_compared(singles)}, batches {_compared(batches)}"
            )
    return Found(
        (
            *_rows("single items", singles),
            *_rows("batches at 256 slots", batches),
        )
    )


async def _singles(run: Run, daemon: Daemon) -> EndToEnd:
    plan = single.make_plan(daemon.port, single.PATH, run.seconds)
    return await run.end_to_end(daemon, single.QUEUE, plan)


async def _batches(run: Run, daemon: Daemon) -> EndToEnd:
    plan = batch.make_plan(daemon.port, batch.AT_WORK, run.seconds)
    return await run.end_to_end(daemon, batch.AT_WORK, plan, batch.LINES)


def _compared(rounds: Rounds) -> str:
    return f"{rounds.counted[-1].rate:,.0f}/s beside {rounds.uncounted[-1].rate:,.0f}/s"


def _cost(rounds: Sequence[EndToEnd]) -> tuple[float, ...]:
    """Processor time of an item, in microseconds."""
    return tuple(each.cpu_seconds / each.items * 1e6 for each in rounds)


def _rows(what: str, rounds: Rounds) -> tuple[Row, Row]:
    return (
        Row(
            scenario="metrics",
            what=f"{what} end to end, counted beside uncounted",
            unit="/s",
            rounds=tuple(each.rate for each in rounds.counted),
            bare_rounds=tuple(each.rate for each in rounds.uncounted),
            target=Target(least=0.97, is_ratio=True),
        ),
        Row(
            scenario="metrics",
            what=f"{what}, processor time an item, counted beside uncounted",
            unit="µs",
            rounds=_cost(rounds.counted),
            bare_rounds=_cost(rounds.uncounted),
        ),
    )
