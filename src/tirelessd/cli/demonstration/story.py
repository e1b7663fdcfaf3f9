"""The demo from the first line to the last: start, submit, watch, compare, clean up."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from rich.console import Console

from tirelessd.cli.demonstration.client import QUEUE, Client
from tirelessd.cli.demonstration.display import Show, Standing, progress
from tirelessd.cli.demonstration.predictions import LONGEST_SECONDS, PredictionServer
from tirelessd.cli.demonstration.process import Addresses, DemoFailed, running_daemon
from tirelessd.cli.demonstration.summary import audit, compare, tell
from tirelessd.core.clock import Clock, SystemClock

MAX_ATTEMPTS: Final = 5
# Real backoff takes minutes; nobody watches a demo for that long.
CAP_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.1
SUBMITTED_AT_ONCE: Final = 100
SLACK_SECONDS: Final = 30.0


class Plan(msgspec.Struct, frozen=True):
    """What the demo was asked for."""

    items: int = 100
    slots: int = 20
    failure_rate: float = 0.1
    seed: int = 1
    is_kept: bool = False

    @property
    def patience_seconds(self) -> float:
        """Far longer than all items can take, even if each needed all of its attempts."""
        rounds = -(-self.items // self.slots)
        return SLACK_SECONDS + MAX_ATTEMPTS * (rounds * LONGEST_SECONDS + CAP_SECONDS)


def run_demo(plan: Plan, console: Console) -> int:
    """Tell the story; 0 when both sets of books agree, 1 when not, raises `DemoFailed` before.

    Leaves neither files nor processes behind, also when it is interrupted.
    """
    return asyncio.run(_story(plan, console, SystemClock()))


async def _story(plan: Plan, console: Console, clock: Clock) -> int:
    # asyncio gives Ctrl-C a clean way out, through every `finally`; these take the same one.
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, sys.exit, 128 + number)
    server = PredictionServer(plan.seed, plan.failure_rate, clock)
    try:
        async with _stage(plan, server) as (client, addresses):
            _introduce(console, plan, server, addresses)
            standing = await _perform(plan, client, console, clock)
            does_agree = await _conclude(client, standing, server, console)
            if plan.is_kept:
                await _stay(console, addresses)
    except aiohttp.ClientError as error:
        raise DemoFailed(f"the daemon stopped answering: {error}") from error
    return 0 if does_agree else 1


@asynccontextmanager
async def _stage(plan: Plan, server: PredictionServer) -> AsyncIterator[tuple[Client, Addresses]]:
    """Everything the story needs; torn down in the opposite order, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="tirelessd-demo-") as folder:
        async with (
            server.serving(),
            running_daemon(Path(folder), configuration(plan, server.url, folder)) as addresses,
            aiohttp.ClientSession() as session,
        ):
            yield Client(session, addresses), addresses


def configuration(plan: Plan, url: str, folder: str) -> dict[str, Any]:
    """The daemon's configuration: one queue that POSTs to the prediction server."""
    queue = {
        "handler": {"type": "http", "url": url, "attempt_timeout_seconds": 10},
        "slots": plan.slots,
        "retry": {
            "max_attempts": MAX_ATTEMPTS,
            "floor_seconds": 0.05,
            "initial_seconds": 0.2,
            "cap_seconds": CAP_SECONDS,
        },
    }
    return {
        "store": f"sqlite://{folder}/tirelessd.db",
        "api": {"port": 0},
        "ops": {"port": 0},
        "drain_seconds": 2,
        "log": {"format": "json"},
        "queues": {QUEUE: queue},
    }


def _introduce(console: Console, plan: Plan, server: PredictionServer, at: Addresses) -> None:
    console.print(
        f"{plan.items} predictions, {plan.slots} slots, at most {MAX_ATTEMPTS} attempts each;"
        f" {plan.failure_rate:.0%} of calls fail (seed {plan.seed})."
        f"\n  tirelessd          {at.api}"
        f"\n  its metrics        {at.ops}/metrics"
        f"\n  prediction server  {server.url}\n"
    )


async def _perform(plan: Plan, client: Client, console: Console, clock: Clock) -> Standing:
    """Submit everything and watch until every item has ended; raises `DemoFailed` if none does."""
    began = clock.monotonic()
    numbers = range(1, plan.items + 1)
    with progress(console, plan.items) as show:
        # Some at a time, so that the display moves during a large submission.
        for first in range(0, plan.items, SUBMITTED_AT_ONCE):
            await client.submit(numbers[first : first + SUBMITTED_AT_ONCE])
            await _look(client, show, clock.monotonic() - began)
        while True:
            standing = await _look(client, show, clock.monotonic() - began)
            if standing.ended >= plan.items:
                return standing
            if standing.elapsed_seconds > plan.patience_seconds:
                raise DemoFailed(f"after {standing} the rest of {plan.items} items did not end")
            await asyncio.sleep(LOOK_SECONDS)


async def _look(client: Client, show: Show, elapsed_seconds: float) -> Standing:
    counters = await client.counters()
    standing = Standing(
        elapsed_seconds,
        succeeded=counters.total("items_completed", outcome="succeeded"),
        retrying=await client.retrying(),
        gave_up=counters.total("items_completed", outcome="dead"),
    )
    show(standing)
    return standing


async def _conclude(
    client: Client, standing: Standing, server: PredictionServer, console: Console
) -> bool:
    dead_letters = await client.dead_letters()
    tell(console, standing, dead_letters, server.tally)
    counters = await client.counters()
    return audit(console, compare(client.accepted, counters, dead_letters, server.tally))


async def _stay(console: Console, addresses: Addresses) -> None:
    """Return at the first signal to stop."""
    # From here on a signal is the expected end, and must be so before anybody reads the URLs.
    is_over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, is_over.set)
    console.print(
        f"\nStill up; Ctrl-C ends it."
        f"\n  {addresses.api}/v1/queues/{QUEUE}"
        f"\n  {addresses.api}/v1/dead-letters"
        f"\n  {addresses.ops}/metrics"
    )
    await is_over.wait()
