"""Batches of a thousand lines: how fast they are accepted, and how fast they are worked off."""

from __future__ import annotations

from typing import Any, Final

from bench.figures import Found, Row, Target
from bench.load import Plan
from bench.processes import running_server
from bench.run import Run
from bench.scenarios import single
from bench.servers import BARE_PATH
from bench.wire import make_request

LINES: Final = 1_000
# Enough to have the next batch there when one is stored; more would only wait.
CONNECTIONS: Final = 8
# Batches of one round: bounded by number, for what is accepted must also be worked off.
BATCHES: Final = 60
LINE: Final = b'{"payload": {"model": "sentiment", "text": "%b"}}\n' % (b"tireless " * 10)
AT_WORK: Final = "at-work"
AT_REST: Final = "at-rest"


def make_queue() -> dict[str, Any]:
    """A queue of 256 slots with room for all rounds."""
    return {
        "handler": {"type": "python", "function": "bench.handlers:do_nothing"},
        "slots": 256,
        "capacity_items": 10_000_000,
    }


def make_plan(
    port: int,
    queue: str,
    seconds: float,
    batches: int = BATCHES,
    connections: int = CONNECTIONS,
) -> Plan:
    """Whole batches, over and over, up to so many."""
    request = make_request(
        "POST",
        f"/v1/queues/{queue}/batch",
        LINE * LINES,
        {"Content-Type": "application/x-ndjson"},
    )
    return Plan(
        port=port, request=request, connections=connections, seconds=seconds, requests=batches
    )


async def run_batch(run: Run) -> Found:
    """Bare single items, accepted while no slot works, accepted and worked off; and again."""
    bare_rates, rest_rates, work_rates, end_rates = [], [], [], []
    queues = {AT_WORK: make_queue(), AT_REST: make_queue()}
    async with running_server("bare") as bare, run.daemon("batch", queues) as daemon:
        await run.post(daemon, f"/v1/queues/{AT_REST}/pause")
        for number in range(run.rounds):
            bare_rates.append(
                (await run.accept(single.make_plan(bare.port, BARE_PATH, run.seconds))).rate
            )
            seen = await run.accept(make_plan(daemon.port, AT_REST, run.seconds))
            rest_rates.append(seen.rate * LINES)
            plan = make_plan(daemon.port, AT_WORK, run.seconds)
            ended = await run.end_to_end(daemon, AT_WORK, plan, LINES)
            work_rates.append(ended.seen.rate * LINES)
            end_rates.append(ended.rate)
            run.say(
                f"  round {number + 1}: accepted at rest {rest_rates[-1]:,.0f}/s,"
                f" at work {work_rates[-1]:,.0f}/s, end to end {end_rates[-1]:,.0f}/s"
            )
    return Found(
        (
            _row("items accepted, the slots at rest", rest_rates, bare_rates, 60_000),
            _row("items accepted, 256 slots at work", work_rates, bare_rates, None),
            _row("items end to end at 256 slots", end_rates, bare_rates, 20_000),
        )
    )


def _row(what: str, rates: list[float], bare_rates: list[float], least: float | None) -> Row:
    return Row(
        scenario="batch",
        what=what,
        unit="/s",
        rounds=tuple(rates),
        bare_rounds=tuple(bare_rates),
        target=Target(least=least) if least is not None else None,
    )
