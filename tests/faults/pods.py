"""Several daemons on one database, each looked at by itself."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from tests.faults.books import Books
from tests.faults.check import ENDED
from tests.faults.database import Database
from tests.faults.experiment import (
    DRAIN_SECONDS,
    PRE_DRAIN_SECONDS,
    SETTLE_SECONDS,
    Experiment,
    Scale,
)
from tests.faults.process import DaemonProcess
from tests.faults.upstream import Upstream
from tests.faults.watch import Watch
from tests.waiting import wait_until


class Pods(Experiment):
    """An experiment with any number of daemons; `watch` looks at the first of them.

    `daemon` is one that runs, and `url` leads to those that run in turn.
    """

    def __init__(
        self, folder: Path, seed: int, scale: Scale, upstream: Upstream, database: Database
    ) -> None:
        super().__init__(folder, seed, scale, upstream)
        self.database = self.shared = database
        self._turns = itertools.count()
        self._watches: list[Watch] = []
        self._watching = AsyncExitStack()

    @property
    def running(self) -> list[DaemonProcess]:
        """The daemons that run."""
        return [daemon for daemon in self.daemons if daemon.is_running]

    @property
    def daemon(self) -> DaemonProcess:
        """One that runs; one that did when none does."""
        return (self.running or self.daemons)[0]

    @property
    def watches(self) -> Sequence[Watch]:
        """One for each daemon."""
        return self._watches

    @property
    def home(self) -> Path:
        """A folder for each daemon."""
        folder = self.folder / f"pod-{len(self.daemons) + 1}"
        folder.mkdir()
        return folder

    def url(self, path: str = "/v1/queues/work/items") -> str:
        """An address of the API of one that is there, of each in its turn."""
        apis = self._apis()
        return apis[next(self._turns) % len(apis)] + path if apis else super().url(path)

    def _apis(self) -> Sequence[str]:
        return [daemon.urls["api"] for daemon in self.running if "api" in daemon.urls]

    async def add(self, **changes: Any) -> DaemonProcess:
        """Make one more daemon, and look at it from now on; not yet started."""
        daemon = self.make_daemon(**changes)
        watch = await self._watching.enter_async_context(Watch(lambda: daemon))
        self._watches.append(watch)
        self.watch = self._watches[0]
        return daemon

    async def start(self, **changes: Any) -> DaemonProcess:
        """Make one more daemon, start it, and return once it is ready."""
        daemon = await self.add(**changes)
        await daemon.start()
        watch = self._watches[-1]
        watch.calm = watch.calm or watch.look()
        return daemon

    async def end(self, daemon: DaemonProcess) -> None:
        """Kill one, a last scrape taken just before."""
        await self._watches[self.daemons.index(daemon)].ask("/metrics")
        await daemon.kill()

    async def stop(self) -> int:
        """End all that run in order, side by side; gives the worst exit code."""
        for watch in self._watches:
            await watch.ask("/metrics")
        running = self.running
        for daemon in running:
            daemon.send(signal.SIGTERM)
        patience = PRE_DRAIN_SECONDS + DRAIN_SECONDS + 5
        return max(await asyncio.gather(*(daemon.wait(patience) for daemon in running)))

    async def settle(self) -> Books:
        """Wait until nothing is left to do, and every daemon knows that; see there."""
        async with aiohttp.ClientSession() as session:
            await wait_until(partial(self._is_known, session), SETTLE_SECONDS)
        # What comes to rest is one that runs still.
        self.watch = self._watches[self.daemons.index(self.daemon)]
        return await super().settle()

    async def _is_known(self, session: aiohttp.ClientSession) -> bool:
        ended = Counter(row.state for row in (await self.shared.rows()).values())
        for api in self._apis():
            async with session.get(f"{api}/v1/queues/work") as response:
                counts = (await response.json())["counts"]
            if ended != +Counter({state: counts[state] for state in ENDED}):
                return False
        return True

    async def leased(self) -> Sequence[str]:
        """The items that any daemon, dead or alive, is at."""
        found = await self.shared.fetch("SELECT id::text FROM items WHERE state = 'leased'")
        return [row["id"] for row in found]

    async def are_over(self, ids: Sequence[str]) -> bool:
        """Whether these items have ended."""
        ended = await self.shared.fetch(
            "SELECT FROM items WHERE finished_at IS NOT NULL AND id = ANY ($1::text::uuid[])",
            f"{{{','.join(ids)}}}",
        )
        return len(ended) == len(ids)

    async def close(self) -> None:
        """Kill what still runs."""
        await super().close()
        await self._watching.aclose()

    def _books(self, items: dict[str, Mapping[str, Any]], counts: Mapping[str, int]) -> Books:
        # Each process has its slots, and the upstream sees them all.
        books = super()._books(items, counts)
        return replace(books, pods=len(self.running), slots=self.slots * len(self.daemons))
