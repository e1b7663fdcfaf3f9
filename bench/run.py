"""What every scenario is given, and the measure they share: items end to end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from rich.console import Console

from bench.books import books_of, wait_ended
from bench.load import Plan, Seen
from bench.processes import BenchFailed, Daemon, run_load, running_daemon
from tirelessd.core.clock import Clock

WARM_UP_SECONDS = 0.5
# What may be left when the load is over: a backlog is worked off in a multiple of the load's time.
SETTLE_SECONDS = 60.0


class EndToEnd(msgspec.Struct, frozen=True):
    """A load whose items have all succeeded; `rate` is items a second, until the last had ended."""

    seen: Seen
    items: int
    rate: float
    cpu_seconds: float


class Run:
    """One run: how long each round is, how many there are, and where data may be put.

    `folder` is on the disk that is measured. No backlog is made of more than `largest` items.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        console: Console,
        *,
        rounds: int,
        seconds: float,
        largest: int,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.rounds = rounds
        self.seconds = seconds
        self.largest = largest
        self._console = console

    def say(self, text: str) -> None:
        """Tell whoever waits how far it is."""
        self._console.print(text, highlight=False, markup=False)

    def daemon(
        self,
        name: str,
        queues: Mapping[str, Any],
        module: str = "tirelessd",
        store: str | None = None,
    ) -> AbstractAsyncContextManager[Daemon]:
        """A daemon with an empty store or a given one, ready.

        `module` is the program, or one that changes it.
        """
        return running_daemon(self.folder / name, queues, self.clock, module, store)

    async def post(self, daemon: Daemon, path: str) -> None:
        """Ask the daemon for something by an empty JSON object."""
        url = f"http://127.0.0.1:{daemon.port}{path}"
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await session.post(url, json={})

    async def accept(self, plan: Plan) -> Seen:
        """Fulfil a plan; raises `BenchFailed` when anything was refused, for that is no work."""
        seen = await run_load(plan)
        if seen.successes < seen.answers:
            raise BenchFailed(f"refused: {seen.statuses}")
        return seen

    async def end_to_end(
        self, daemon: Daemon, queue: str, plan: Plan, items_each: int = 1
    ) -> EndToEnd:
        """Fulfil a plan and wait until the store has all of its items as succeeded."""
        return await self.end_to_end_among([daemon], queue, [plan], items_each)

    async def end_to_end_among(
        self, daemons: Sequence[Daemon], queue: str, plans: Sequence[Plan], items_each: int = 1
    ) -> EndToEnd:
        """The same with a plan for each of some daemons that share a store.

        The latencies are those that the first load saw.
        """
        cpu_seconds = sum(daemon.cpu_seconds() for daemon in daemons)
        seen = await asyncio.gather(*map(self.accept, plans))
        items = sum(each.successes for each in seen) * items_each
        since = min(each.started_at for each in seen)
        books = books_of(daemons[0].store)
        ended = await wait_ended(books, queue, since, items, SETTLE_SECONDS)
        return EndToEnd(
            seen[0],
            items,
            items / (ended.last_at - since),
            sum(daemon.cpu_seconds() for daemon in daemons) - cpu_seconds,
        )
