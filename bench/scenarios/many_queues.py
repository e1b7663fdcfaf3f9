"""Twenty queues: what a scrape costs, what it costs the items, and what idling costs."""

from __future__ import annotations

import asyncio
from typing import Final

from bench.figures import Found, Row, Target
from bench.load import Plan, Seen
from bench.processes import Daemon
from bench.run import WARM_UP_SECONDS, EndToEnd, Run
from bench.scenarios.single import make_plan
from bench.wire import make_request

QUEUE: Final = "lane-01"
PATH: Final = f"/v1/queues/{QUEUE}/items"
QUEUES: Final = {
    f"lane-{number:02}": {
        "handler": {"type": "python", "function": "bench.handlers:do_nothing"},
        "slots": 64,
    }
    for number in range(1, 21)
}
# As Prometheus asks.
SCRAPE: Final = make_request(
    "GET",
    "/metrics",
    headers={
        "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
        "Accept-Encoding": "gzip",
    },
)
# A percentile of 99 wants a hundred, where a round has the time.
SCRAPES: Final = 100
SCRAPE_PAUSE_SECONDS: Final = 0.2
# Ten times a round: long enough for every background loop to come round.
IDLE_ROUNDS: Final = 10
CALM_SECONDS: Final = 3.0


async def run_scrape(run: Run) -> Found:
    """Scrapes of a daemon at rest; then items without and with scrapes beside, in turns."""
    at_rest, busy, calm, scraped = [], [], [], []
    async with run.daemon("scrape", QUEUES) as daemon:
        await _work(run, daemon, WARM_UP_SECONDS)
        for number in range(run.rounds):
            plan = Plan(
                port=daemon.ops_port,
                request=SCRAPE,
                connections=1,
                requests=SCRAPES,
                seconds=2 * run.seconds,
            )
            at_rest.append(await run.accept(plan))
            calm.append(await _work(run, daemon, run.seconds))
            async with asyncio.TaskGroup() as group:
                scraping = group.create_task(_scrape_beside(run, daemon))
                working = group.create_task(_work(run, daemon, run.seconds))
            busy.append(scraping.result())
            scraped.append(working.result())
            run.say(
                f"  round {number + 1}: p99 {at_rest[-1].p99_seconds * 1e3:.1f} ms; items"
                f" {calm[-1].rate:,.0f}/s, scraped {scraped[-1].rate:,.0f}/s"
            )
    return Found((*_scrape_rows(at_rest, busy), _effect_row(scraped, calm)))


async def _work(run: Run, daemon: Daemon, seconds: float) -> EndToEnd:
    plan = make_plan(daemon.port, PATH, seconds)
    return await run.end_to_end(daemon, QUEUE, plan)


async def _scrape_beside(run: Run, daemon: Daemon) -> Seen:
    plan = Plan(
        port=daemon.ops_port,
        request=SCRAPE,
        connections=1,
        seconds=run.seconds,
        pause_seconds=SCRAPE_PAUSE_SECONDS,
    )
    return await run.accept(plan)


def _scrape_rows(at_rest: list[Seen], busy: list[Seen]) -> list[Row]:
    return [
        Row(
            scenario="scrape",
            what="scrape at 20 queues, p50",
            unit="ms",
            rounds=tuple(each.p50_seconds * 1e3 for each in at_rest),
        ),
        Row(
            scenario="scrape",
            what="scrape at 20 queues, p99",
            unit="ms",
            rounds=tuple(each.p99_seconds * 1e3 for each in at_rest),
            target=Target(most=50.0),
        ),
        Row(
            scenario="scrape",
            what="scrape at 20 queues under full load, p50",
            unit="ms",
            rounds=tuple(each.p50_seconds * 1e3 for each in busy),
        ),
        Row(
            scenario="scrape",
            what="scrape at 20 queues, size gzipped",
            unit="KiB",
            rounds=tuple(each.body_bytes / 1024 for each in at_rest),
        ),
    ]


def _effect_row(scraped: list[EndToEnd], calm: list[EndToEnd]) -> Row:
    return Row(
        scenario="scrape",
        what="single items with a scrape every 200 ms, beside none",
        unit="/s",
        rounds=tuple(each.rate for each in scraped),
        bare_rounds=tuple(each.rate for each in calm),
    )


async def run_idle(run: Run) -> Found:
    """A daemon that nobody asks for anything."""
    seconds = IDLE_ROUNDS * run.seconds
    async with run.daemon("idle", QUEUES) as daemon:
        await asyncio.sleep(CALM_SECONDS)
        begins_at, before = run.clock.monotonic(), daemon.cpu_seconds()
        await asyncio.sleep(seconds)
        used = daemon.cpu_seconds() - before
        share = used / (run.clock.monotonic() - begins_at)
    row = Row(
        scenario="idle",
        what=f"processor idle at 20 queues, over {seconds:g} s",
        unit="%",
        rounds=(share * 100,),
        target=Target(most=1.0),
    )
    return Found((row,))
