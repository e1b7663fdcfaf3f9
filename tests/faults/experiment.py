"""One experiment: a daemon under load, what is done to it, and the books that must agree after."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from tests.exposition import Exposition
from tests.faults import verdict
from tests.faults.books import Books, Row, copied_rows
from tests.faults.check import ENDED, in_order
from tests.faults.database import Database
from tests.faults.ledger import Ledger
from tests.faults.load import CONNECTIONS, Load, Wish, Words
from tests.faults.process import DaemonProcess, End
from tests.faults.report import Figures
from tests.faults.upstream import Upstream
from tests.faults.watch import Sample, Watch
from tests.waiting import a_moment, wait_until

SLOTS = 32
PRE_DRAIN_SECONDS = 2.0
DRAIN_SECONDS = 10.0
ATTEMPT_SECONDS = 2.0
# Short, so that connections to the upstream are soon no longer among what is to be given back.
KEEPALIVE_SECONDS = 0.4
SETTLE_SECONDS = 60.0
REST_SECONDS = 30.0
NOBODY = "http://127.0.0.1:9"
Value = TypeVar("Value")
UNFINISHED = ("ready", "scheduled", "retrying", "running")


@dataclass(frozen=True)
class Scale:
    """Which form of a row runs: the short one of `make test` or the long one of `make faults`."""

    is_long: bool

    def pick(self, short: Value, long: Value) -> Value:
        """The value for the form that runs."""
        return long if self.is_long else short


def configuration(
    folder: Path, upstream_url: str, *, queue: Mapping[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """The fault plan's test configuration: short times, one queue called `work`.

    `changes` replace the daemon's settings; those in `queue` replace the queue's, except that its
    sections are changed entry by entry, unless a handler of another type is given.
    """
    handler = {
        "type": "http",
        "url": upstream_url,
        "attempt_timeout_seconds": ATTEMPT_SECONDS,
        "keepalive_seconds": KEEPALIVE_SECONDS,
    }
    work: dict[str, Any] = {
        "handler": handler,
        "slots": SLOTS,
        "lease_seconds": 5,
        "retry": {"max_attempts": 8, "initial_seconds": 0.2, "cap_seconds": 2},
    }
    for name, value in (queue or {}).items():
        is_section = isinstance(value, Mapping) and "type" not in value
        work[name] = {**work.get(name, {}), **value} if is_section else value
    return {
        "store": f"sqlite://{folder / 'tirelessd.db'}",
        "api": {"port": 0},
        "ops": {"port": 0},
        "drain_seconds": DRAIN_SECONDS,
        "queues": {"work": work},
        **changes,
    }


class Experiment:
    """Holds the parts of one experiment; `figures` become its line in the report.

    The daemons share `database`, if there is one; else they have a file at `store_path`.
    """

    def __init__(self, folder: Path, seed: int, scale: Scale, upstream: Upstream) -> None:
        self.folder, self.seed, self.scale, self.upstream = folder, seed, scale, upstream
        self.source = random.Random(seed)
        self.ledger = Ledger(folder / "ledger.txt", f"run-{seed}")
        self.daemons: list[DaemonProcess] = []
        self.watch = Watch(lambda: self.daemons[-1] if self.daemons else None)
        self.figures: Figures | None = None
        self.heal_seconds = 0.0
        self.slots = SLOTS
        self.store_path = folder / "tirelessd.db"
        self.database: Database | None = None
        self.queues: tuple[str, ...] = ("work",)

    @property
    def daemon(self) -> DaemonProcess:
        """The daemon that was made last."""
        return self.daemons[-1]

    @property
    def watches(self) -> Sequence[Watch]:
        """Whoever looks at a daemon."""
        return [self.watch]

    @property
    def home(self) -> Path:
        """Where the next daemon has its files."""
        return self.folder

    @property
    def ends(self) -> list[End]:
        """How daemons have ended so far."""
        return [end for daemon in self.daemons for end in daemon.ends]

    def url(self, path: str = "/v1/queues/work/items") -> str:
        """An address of the API; one where nobody listens while there is no daemon."""
        return self.daemon.urls.get("api", NOBODY) + path

    def make_daemon(
        self,
        *,
        prefix: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> DaemonProcess:
        """A daemon on the experiment's folder, not yet started; see `configuration`."""
        changes = {
            "pre_drain_seconds": self.scale.pick(0.2, PRE_DRAIN_SECONDS),
            "store": self.database.url if self.database else f"sqlite://{self.store_path}",
            **changes,
        }
        config = configuration(self.folder, self.upstream.url, **changes)
        self.slots = sum(queue.get("slots", SLOTS) for queue in config["queues"].values())
        self.queues = tuple(config["queues"])
        daemon = DaemonProcess(self.home, config, prefix=prefix, environment=environment)
        self.daemons.append(daemon)
        return daemon

    async def start(self, **changes: Any) -> DaemonProcess:
        """Make a daemon, start it, and return once it is ready."""
        daemon = self.make_daemon(**changes)
        await daemon.start()
        self.watch.calm = self.watch.calm or self.watch.look()
        return daemon

    async def kill(self) -> None:
        """End the daemon as a power cut would, a last scrape taken just before."""
        await self.watch.ask("/metrics")
        await self.daemon.kill()

    async def stop(self) -> int:
        """End the daemon in order, and return its exit code."""
        await self.watch.ask("/metrics")
        self.daemon.send(signal.SIGTERM)
        return await self.daemon.wait(PRE_DRAIN_SECONDS + DRAIN_SECONDS + 5)

    @asynccontextmanager
    async def load(
        self,
        *,
        rate: float | None = None,
        word: Words = "ok",
        size: tuple[int, int] = (300, 2_000),
        connections: int = CONNECTIONS,
        path: str = "/v1/queues/work/items",
        port: int | None = None,
    ) -> AsyncIterator[Load]:
        """Submit in the background as long as it is entered; `port` leads through a proxy."""
        wish = Wish(rate or self.scale.pick(200.0, 300.0), word, size, connections)
        fixed = f"http://127.0.0.1:{port}{path}" if port else None
        source = random.Random(self.source.random())
        load = Load(self.ledger, lambda: fixed or self.url(path), wish, source)
        running = asyncio.get_running_loop().create_task(load.run())
        try:
            yield load
        finally:
            load.stop()
            await running

    async def heal(self, deadline_seconds: float) -> float:
        """Return the seconds until the daemon is ready, takes an item and has done it."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        async with asyncio.timeout(deadline_seconds), aiohttp.ClientSession() as session:
            while await self.daemon.probe(session) != 200:
                await a_moment()
            while (entry := await self.ledger.submit(session, self.url(), "ok")).fate != "acked":
                await a_moment()
            while not self.upstream.successes()[entry.key]:
                await a_moment()
        seconds = loop.time() - began_at
        self.heal_seconds = max(self.heal_seconds, seconds)
        return seconds

    async def settle(self) -> Books:
        """Wait until nothing is left to do, bounded, and read every item of the store."""
        async with aiohttp.ClientSession() as session:

            async def is_settled() -> bool:
                counts = await self._counts(session)
                if sum(counts[state] for state in UNFINISHED):
                    return False
                # The counts may be a moment old, and items have come or ended since.
                items = await self._all_items(session)
                states = Counter(item["state"] for item in items.values())
                return states == +Counter({state: counts[state] for state in ENDED})

            await wait_until(is_settled, SETTLE_SECONDS)
            items, counts = await self._all_items(session), await self._counts(session)
        return self._books(items, counts)

    async def _counts(self, session: aiohttp.ClientSession) -> Counter[str]:
        counts: Counter[str] = Counter()
        for queue in self.queues:
            async with session.get(self.url(f"/v1/queues/{queue}")) as response:
                counts.update((await response.json())["counts"])
        return counts

    async def _all_items(self, session: aiohttp.ClientSession) -> dict[str, Mapping[str, Any]]:
        items: dict[str, Mapping[str, Any]] = {}
        for queue in self.queues:
            items |= await self._items_of(session, queue)
        return items

    async def _items_of(
        self, session: aiohttp.ClientSession, queue: str
    ) -> dict[str, Mapping[str, Any]]:
        items: dict[str, Mapping[str, Any]] = {}
        after: str | None = None
        while True:
            params = {"limit": "1000"} | ({"after": after} if after else {})
            async with session.get(
                self.url(f"/v1/queues/{queue}/items"), params=params
            ) as response:
                page = await response.json()
            items |= {item["id"]: item for item in page["items"]}
            after = page["next_after"]
            if after is None:
                return items

    def _books(self, items: dict[str, Mapping[str, Any]], counts: Mapping[str, int]) -> Books:
        return Books(
            self.ledger.entries,
            self.upstream.hits,
            items,
            counts,
            kills=len([end for end in self.ends if end.is_crash]),
            slots=self.slots,
            epoch=time.time() - asyncio.get_running_loop().time(),
            calm=self.watch.calm,
            **self._seen_and_said(),
        )

    def _seen_and_said(self) -> dict[str, Any]:
        """What was seen of the processes so far, and what they have said."""
        return {
            "ends": self.ends,
            "probes": [probe for watch in self.watches for probe in watch.probes],
            "samples": [sample for watch in self.watches for sample in watch.samples],
            "lines": [line for daemon in self.daemons for line in daemon.lines],
            "stray_output": [text for daemon in self.daemons for text in daemon.stray_output],
        }

    async def finish(
        self, *, kills: int | None = None, without: Collection[str] = (), is_purging: bool = False
    ) -> Books:
        """Settle, come to rest, stop the daemon, and check I1 to I6 and I8 to I11.

        `kills` is for deaths that the rig has not seen. `without` names the checks that a row
        breaks on purpose, as `I9`; say there why. The figures for the report are noted first.
        """
        books = await self.settle()
        rest = await self._rest(books)
        code = await self.stop()
        scrapes = [scrape for watch in self.watches for scrape in watch.lives.values()]
        books = replace(
            books,
            rows=await self._rows(),
            lives=[Exposition(each.text) for each in sorted(scrapes, key=lambda each: each.at)],
            rest=rest,
            kills=books.kills if kills is None else kills,
            is_purging=is_purging,
            # Of its stop, too, and of a life so short that nobody had looked at it before.
            **self._seen_and_said(),
        )
        self.figures = self._figures(books)
        verdict.check_all(books, without)
        assert code == 0, f"the daemon ended with {code}"
        return books

    async def _rows(self) -> dict[str, Row]:
        if self.database is not None:
            return await self.database.rows()
        return copied_rows(self.store_path, self.folder / "copy")

    async def _rest(self, books: Books) -> Sample | None:
        """Wait until the gauges have caught up and idle connections are gone, bounded."""

        async def is_at_rest() -> bool:
            if not verdict.has_given_back(self.watch.calm, self.watch.look()):
                return False
            said = Exposition(await self.watch.ask("/metrics"))
            return all(
                said.total("queue_items", state=state) == books.counts[state]
                for state in (*UNFINISHED, "dead")
            )

        # What never comes to rest is for the checks to tell, item by item.
        with suppress(TimeoutError):
            await wait_until(is_at_rest, REST_SECONDS)
        return self.watch.look()

    def _figures(self, books: Books) -> Figures:
        latencies = [entry.seconds for entry in books.acked.values()]
        return Figures(
            acked=len(books.acked),
            ambiguous=len(self.ledger.of("ambiguous")),
            lost=len(books.lost),
            duplicates=books.duplicates,
            p99_ms=round(in_order(latencies, 0.99) * 1_000, 1),
            rss_peak_mib=round(max(watch.rss_peak_mib for watch in self.watches), 1),
            heal_seconds=round(self.heal_seconds, 2),
        )

    async def close(self) -> None:
        """Kill what still runs, by its pid, and let go of the files."""
        for daemon in self.daemons:
            await daemon.kill()
        self.ledger.close()
