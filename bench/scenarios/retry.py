"""Retry-heavy load: one attempt in ten fails, is stored with its wait, and is tried again."""

from __future__ import annotations

from typing import Final

from bench.figures import Found, Row
from bench.processes import running_server
from bench.run import WARM_UP_SECONDS, Run
from bench.scenarios.single import make_plan
from bench.servers import BARE_PATH

QUEUE: Final = "retry"
PATH: Final = f"/v1/queues/{QUEUE}/items"
QUEUES: Final = {
    QUEUE: {
        "handler": {"type": "python", "function": "bench.handlers:fail_sometimes"},
        "slots": 64,
        # Short, so that the waits end within the round and their due times keep the slots busy.
        "retry": {"floor_seconds": 0.01, "initial_seconds": 0.05, "cap_seconds": 0.2},
    }
}


async def run_retry(run: Run) -> Found:
    """Bare, then the daemon with its failures; and again."""
    bare_rates, rates = [], []
    async with running_server("bare") as bare, run.daemon("retry", QUEUES) as daemon:
        warm_up = make_plan(daemon.port, PATH, WARM_UP_SECONDS)
        await run.end_to_end(daemon, QUEUE, warm_up)
        for number in range(run.rounds):
            plan = make_plan(bare.port, BARE_PATH, run.seconds)
            bare_rates.append((await run.accept(plan)).rate)
            plan = make_plan(daemon.port, PATH, run.seconds)
            rates.append((await run.end_to_end(daemon, QUEUE, plan)).rate)
            run.say(
                f"  round {number + 1}: bare {bare_rates[-1]:,.0f}/s, daemon {rates[-1]:,.0f}/s"
            )
    row = Row(
        scenario="retry",
        what="single items end to end, one attempt in ten failing",
        unit="/s",
        rounds=tuple(rates),
        bare_rounds=tuple(bare_rates),
    )
    return Found((row,))
