"""A handler that does what a test wrote down, and an engine on a real SQLite file around it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tests.recorder import Recorder
from tirelessd.core.clock import SystemClock
from tirelessd.core.decision import Complete, Settlement
from tirelessd.core.errors import StoreUnavailable
from tirelessd.core.events import Emit
from tirelessd.core.item import Context, Item, ItemRecord, Lease, NewItem
from tirelessd.core.queue import QueueConfig, RetryPolicy
from tirelessd.core.tracer import NO_TRACER, Tracer
from tirelessd.engine.engine import Engine
from tirelessd.engine.intake import Options, Submission
from tirelessd.store.base import Claimed, Enqueued, HandOff, Settled
from tirelessd.store.sqlite import SqliteStore

Step = BaseException | Complete | Callable[[Item, Context], Awaitable[Complete]]

FAST_RETRY = RetryPolicy(
    max_attempts=3, initial_seconds=0.01, cap_seconds=0.02, floor_seconds=0.001
)


class ScriptedHandler:
    """Does the next step written for an item's payload; succeeds when none is left."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, int]] = []
        self.running = 0
        self.most_running = 0
        self._steps: dict[bytes, list[Step]] = defaultdict(list)

    def script(self, payload: bytes, *steps: Step) -> None:
        """Write down what the attempts on a payload come to, in order."""
        self._steps[payload].extend(steps)

    async def open(self) -> None:
        """Nothing to get ready."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def attempt(self, item: Item, context: Context) -> Complete:
        """Do the next step."""
        self.calls.append((item.payload, context.attempt))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            steps = self._steps[item.payload]
            step = steps.pop(0) if steps else Complete(b"done")
            if isinstance(step, BaseException):
                raise step
            return step if isinstance(step, Complete) else await step(item, context)
        finally:
            self.running -= 1


class Gate:
    """A step that tells when it is reached and ends when the test says so."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, item: Item, context: Context) -> Complete:
        """Wait for the test."""
        self.reached.set()
        await self.opened.wait()
        return Complete(b"passed the gate")


class BreakableStore(SqliteStore):
    """A real store whose writes fail while a test says so, before anything of them happens."""

    def __init__(self, path: Path, *, clock: SystemClock, emit: Emit) -> None:
        super().__init__(path, clock=clock, emit=emit)
        self.broken: set[str] = set()
        self.refused: Counter[str] = Counter()

    def _check(self, verb: str) -> None:
        if verb in self.broken or "all" in self.broken:
            self.refused[verb] += 1
            raise StoreUnavailable(f"{verb} fails, as the test wants it")

    async def enqueue(
        self, items: Sequence[NewItem], hand_off: HandOff | None = None
    ) -> Sequence[Enqueued]:
        """As the real one, unless broken."""
        self._check("enqueue")
        return await super().enqueue(items, hand_off)

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, recovered: int = 0
    ) -> Claimed:
        """As the real one, unless broken."""
        self._check("claim")
        return await super().claim(queue, limit, lease_seconds, recovered=recovered)

    async def settle(
        self, settlements: Sequence[Settlement], lease_seconds: float = 30.0
    ) -> Sequence[Settled]:
        """As the real one, unless broken."""
        self._check("settle")
        return await super().settle(settlements, lease_seconds)

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool]:
        """As the real one, unless broken."""
        self._check("release")
        return await super().release(leases)

    async def renew(self, leases: Sequence[Lease], lease_seconds: float) -> Sequence[bool]:
        """As the real one, unless broken."""
        self._check("renew")
        return await super().renew(leases, lease_seconds)

    async def probe(self) -> None:
        """As the real one, unless broken."""
        self._check("probe")
        await super().probe()


class House:
    """An engine, its store, its handlers and a recorder, restartable on the same file."""

    def __init__(
        self,
        path: Path,
        queues: Sequence[QueueConfig],
        seed: int = 1,
        tracer: Tracer = NO_TRACER,
        canary_interval_seconds: float | None = None,
    ) -> None:
        self.path = path
        self.canary_interval_seconds = canary_interval_seconds
        self.tracer = tracer
        self.queues = queues
        self.seed = seed
        self.handlers = {config.name: ScriptedHandler() for config in queues}
        self.recorder = Recorder()
        self.store: BreakableStore
        self.engine: Engine

    def make_store(self, clock: SystemClock) -> Any:
        """What the engine runs on; houses of another kind have another."""
        return BreakableStore(self.path, clock=clock, emit=self.recorder)

    async def start(self) -> House:
        """Open the store and start the engine on it."""
        clock = SystemClock()
        self.store = self.make_store(clock)
        await self.store.open()
        self.engine = Engine(
            self.queues,
            self.handlers,
            self.store,
            self.recorder,
            clock,
            make_logger=lambda *_: None,
            source=random.Random(self.seed),
            tracer=self.tracer,
        )
        if self.canary_interval_seconds is not None:
            self.engine.send_canaries(self.canary_interval_seconds)
        await self.engine.start()
        return self

    async def crash(self) -> None:
        """Go away without a drain, as a killed process does: what was leased stays leased."""
        await self.engine.stop()
        await self.store.close()

    async def stop(self, drain_seconds: float = 5.0) -> dict[str, int]:
        """Drain and close; what became of the leased items."""
        self.engine.begin_drain()
        counts = await self.engine.drain(drain_seconds)
        await self.crash()
        return {str(fate): count for fate, count in counts.items()}

    async def submit(self, payload: bytes, queue: str = "work", **options: Any) -> str:
        """Have an item accepted; its id."""
        submission = Submission(payload, "text/plain", options=Options(**options))
        return (await self.engine.intake.accept(queue, submission)).id

    async def record(self, item_id: str) -> ItemRecord:
        """What the store holds of an item."""
        record = await self.store.get(item_id)
        assert record is not None
        return record
