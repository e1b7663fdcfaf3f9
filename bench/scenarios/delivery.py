"""HTTP delivery: accepted, stored, POSTed to an upstream, and its answer stored."""

from __future__ import annotations

from typing import Final

import msgspec

from bench.client import Errand
from bench.figures import Found, Row, Target
from bench.processes import Server, run_apart, running_server
from bench.run import WARM_UP_SECONDS, Run
from bench.scenarios import batch
from bench.scenarios.single import PAYLOAD, make_plan

QUEUE: Final = "delivery"
PATH: Final = f"/v1/queues/{QUEUE}/items"
SLOTS: Final = 64
# Some seconds of work; its payloads are as large as those of the single items.
BATCHES: Final = 8


async def run_delivery(run: Run) -> Found:
    """The bare client loop, the daemon by single items and by batches, one upstream; and again."""
    client_rates, single_rates, batch_rates = [], [], []
    async with running_server("upstream") as upstream:
        handler = {"type": "http", "url": f"http://127.0.0.1:{upstream.port}/"}
        queues = {QUEUE: {"handler": handler, "slots": SLOTS}}
        async with run.daemon("delivery", queues) as daemon:
            warm_up = make_plan(daemon.port, PATH, WARM_UP_SECONDS)
            await run.end_to_end(daemon, QUEUE, warm_up)
            for number in range(run.rounds):
                client_rates.append(await _client_rate(upstream, run.seconds))
                plan = make_plan(daemon.port, PATH, run.seconds)
                single_rates.append((await run.end_to_end(daemon, QUEUE, plan)).rate)
                plan = batch.make_plan(daemon.port, QUEUE, run.seconds, BATCHES)
                batch_rates.append((await run.end_to_end(daemon, QUEUE, plan, batch.LINES)).rate)
                run.say(
                    f"  round {number + 1}: client loop {client_rates[-1]:,.0f}/s,"
                    f" daemon {batch_rates[-1]:,.0f}/s, by single items {single_rates[-1]:,.0f}/s"
                )
    what = "HTTP delivery end to end, beside 64 bare client loops"
    return Found(
        (
            _row(f"{what}: accepted as batches", batch_rates, client_rates, 0.50),
            _row(f"{what}: accepted one by one", single_rates, client_rates, None),
        )
    )


def _row(what: str, rates: list[float], client_rates: list[float], least: float | None) -> Row:
    return Row(
        scenario="delivery",
        what=what,
        unit="/s",
        rounds=tuple(rates),
        bare_rounds=tuple(client_rates),
        target=Target(least=least, is_ratio=True) if least is not None else None,
    )


async def _client_rate(upstream: Server, seconds: float) -> float:
    errand = Errand(
        url=f"http://127.0.0.1:{upstream.port}/", body=PAYLOAD, loops=SLOTS, seconds=seconds
    )
    return float(await run_apart("bench.client", msgspec.json.encode(errand), seconds))
