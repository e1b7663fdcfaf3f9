"""The engine: its parts, the order in which they start, and the order in which they stop."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tirelessd.core.clock import Clock
from tirelessd.core.errors import StartError, StoreError
from tirelessd.core.events import (
    DrainResult,
    Emit,
    Event,
    LifecycleChanged,
    LifecycleState,
    UnexpectedError,
)
from tirelessd.core.policy import StoredRetrying, stored_retrying
from tirelessd.core.queue import CANARY, QueueConfig, RetryPolicy
from tirelessd.core.tracer import NO_TRACER, Tracer
from tirelessd.engine import canary
from tirelessd.engine.attempt import AttemptRunner, MakeLogger
from tirelessd.engine.canary import Canary
from tirelessd.engine.capacity import Capacity
from tirelessd.engine.desk import Desk
from tirelessd.engine.drain import Drain
from tirelessd.engine.handlers.base import Handler
from tirelessd.engine.handlers.echo import EchoHandler
from tirelessd.engine.health import Health, StoreWatch
from tirelessd.engine.intake import Intake
from tirelessd.engine.pauses import Pauses
from tirelessd.engine.pool import Pool, PoolReading
from tirelessd.engine.reclaim import LEASE_SECONDS, Reclaim
from tirelessd.engine.settler import Settler
from tirelessd.engine.snapshots import Snapshots, TakenSnapshot
from tirelessd.engine.supervisor import Supervisor
from tirelessd.engine.sweep import Sweep
from tirelessd.engine.upkeep import Upkeep
from tirelessd.store.base import Store

STOP_SECONDS: Final = 1.0
# For the lost leases of queues that are not configured here. Their limits are known to others, who
# may allow more: so such an item goes back soon, and ends by its own deadline at the latest.
KEPT: Final = RetryPolicy(max_attempts=sys.maxsize, max_lost_leases=sys.maxsize, cap_seconds=10.0)


class Status(msgspec.Struct, frozen=True):
    """The engine at one moment, read without touching the store."""

    lifecycle: LifecycleState
    pools: Mapping[str, PoolReading]
    store_problem: str | None
    snapshot: TakenSnapshot | None
    tasks: Mapping[str, int]


class Engine:
    """Everything between acceptance and the end of an item.

    `store` is open already and stays its owner's to close. `handlers` has one for each queue, and
    those of queues without slots are never opened.
    `source` draws jitter; hand in a seeded one to repeat a run.
    """

    def __init__(
        self,
        queues: Sequence[QueueConfig],
        handlers: Mapping[str, Handler],
        store: Store,
        emit: Emit,
        clock: Clock,
        make_logger: MakeLogger,
        source: random.Random | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._queues = queues
        self._handlers = handlers
        self._store = store
        self._emit = emit
        self._clock = clock
        self._make_logger = make_logger
        self._lifecycle: LifecycleState = "starting"
        self._has_learned = False
        self._source = source or random.SystemRandom()
        # Also without a canary: an earlier process may have had one, and left it here.
        known = (*queues, canary.QUEUE)
        self._retrying = {q.name: stored_retrying(q.retry, self._source) for q in known}
        self._supervisor = Supervisor(emit)
        self._watch = StoreWatch(emit)
        self._capacity = Capacity(known)
        self._pools = {
            config.name: self._make_pool(config, handlers[config.name], emit, tracer)
            for config in queues
        }
        # The canary's too, if there is one.
        self._every_pool = dict(self._pools)
        self._canary: Canary | None = None
        self._drain = Drain(self._pools, emit)
        self._pauses = Pauses(store, self._pools)
        names = [config.name for config in known]
        self._snapshots = Snapshots(store, names, self._capacity, clock, self._supervisor)
        self.intake = Intake(
            queues, self._pools, store, self._capacity, self._watch, emit, self._supervisor, tracer
        )
        self.desk = Desk(
            queues, self._pools, store, self._pauses, self._snapshots, self._capacity, emit
        )
        rare = without_canaries(emit)
        settler = Settler(store, self._watch, self._capacity, rare)
        self._reclaim = Reclaim(
            store,
            settler,
            self._every_pool,
            self._retrying_for,
            self._watch,
            rare,
            max([config.lease_seconds for config in queues], default=LEASE_SECONDS),
        )
        self.sweep = Sweep(store, self._every_pool, self._reclaim, self._watch)
        self._upkeep = self._make_upkeep()

    def _make_pool(
        self, config: QueueConfig, handler: Handler, emit: Emit, tracer: Tracer = NO_TRACER
    ) -> Pool:
        settler = Settler(self._store, self._watch, self._capacity, emit)
        runner = AttemptRunner(
            config,
            handler,
            self._retrying[config.name],
            self._supervisor,
            emit,
            self._clock,
            self._make_logger,
            tracer,
        )
        return Pool(
            config, self._store, runner, settler, self._watch, emit, self._clock, self._source
        )

    def send_canaries(self, interval_seconds: float) -> None:
        """Have an item of the engine's own go the whole way so often; to be said before `start`.

        Its pool is like all others but in what it tells, and to whom.
        """
        made = self._canary = Canary(
            self._store, self._watch, self._clock, self._emit, interval_seconds
        )
        self._every_pool[CANARY] = self._make_pool(canary.QUEUE, EchoHandler(), made.see)

    def _start_canary(self, sent: Canary) -> None:
        intake = Intake(
            (canary.QUEUE,),
            self._every_pool,
            self._store,
            self._capacity,
            self._watch,
            sent.see,
            self._supervisor,
        )
        self._every_pool[CANARY].start(self._supervisor)
        sent.start(intake, self._supervisor)

    def _make_upkeep(self) -> Upkeep:
        return Upkeep(
            (*self._queues, canary.QUEUE),
            self._store,
            self._reclaim,
            self._watch,
            self._pauses,
            self._snapshots,
            self._capacity,
            without_canaries(self._emit),
        )

    def _retrying_for(self, queue: str) -> StoredRetrying:
        """The queue's policy; for queues that this process does not know, one that keeps trying."""
        known = self._retrying.get(queue)
        return known if known is not None else stored_retrying(KEPT, self._source)

    def store_is_away(self, error: StoreError) -> None:
        """The store could not be reached yet: readiness says why, until it was."""
        self._watch.failed(error)

    async def learn(self) -> None:
        """Learn what the store holds, and obey its pauses; `start` does it if nobody has.

        May be repeated; raises `StoreUnavailable`.
        """
        # Before anybody can submit: places are counted from what the store already holds.
        taken = await self._snapshots.fresh()
        # Before any pool claims, or a paused queue would start a few items.
        await self._pauses.refresh()
        self._watch.worked()
        # Nothing has happened here yet; whoever shares the store makes no difference.
        self._capacity.adopt(taken.snapshot.queues, taken.mark, is_shared=True)
        self._upkeep.tell_unconfigured(taken.snapshot)
        self._has_learned = True

    async def start(self) -> None:
        """Open the handlers, know what the store holds, start every loop."""
        for name, handler in self._working().items():
            try:
                await handler.open()
            except StartError as error:
                raise type(error)(f"queues.{name}.handler: {error}") from None
        if not self._has_learned:
            await self.learn()
        for pool in self._pools.values():
            pool.start(self._supervisor)
        self._supervisor.start_loop("hints", self._listen_loop)
        self._upkeep.start(self._supervisor)
        self.sweep.start(self._supervisor)
        if self._canary is not None:
            self._start_canary(self._canary)
        self._become("running")

    async def _listen_loop(self) -> None:
        await self._store.listen(self._hear)

    def _hear(self, queue: str) -> None:
        """Another process has no slot for an item of that queue."""
        # Not even all processes that share a store need have the same queues.
        if queue in self._pools:
            self._pools[queue].expect(0.0)

    def _working(self) -> Mapping[str, Handler]:
        """The handlers that anything is handed to."""
        return {queue.name: self._handlers[queue.name] for queue in self._queues if queue.slots}

    def begin_drain(self) -> None:
        """Be unready, claim nothing, hand nothing off; intake goes on until `drain`."""
        self._become("draining")
        if self._canary is not None:
            self._canary.stop()
            # Nobody waits for it: the drain is of what callers have handed in.
            self._every_pool[CANARY].close()
        self._drain.begin()

    async def drain(self, drain_seconds: float) -> Mapping[DrainResult, int]:
        """Close intake, finish or release every leased item; what became of them, counted."""
        self.intake.close()
        return await self._drain.finish(drain_seconds)

    async def stop(self) -> Sequence[str]:
        """End all loops and close the handlers; names what would not end, all in bounded time."""
        self._become("stopping")
        stubborn = await self._supervisor.stop(STOP_SECONDS)
        # After the loops: a slot that still runs must not find its handler closed under it.
        for name, handler in self._working().items():
            try:
                await handler.close()
            except Exception as error:  # noqa: BLE001  (the others must be closed too)
                self._emit(UnexpectedError(f"handler of queue {name}", error))
        return stubborn

    def health(self) -> Health:
        """What the probes answer from; never touches the store."""
        failing: dict[str, str] = {}
        # A full queue is not among them: its callers get an answer, and others have room.
        if self._lifecycle != "running":
            failing["lifecycle"] = f"the daemon is {self._lifecycle}"
        if self._watch.problem is not None:
            failing["store"] = self._watch.problem
        return Health(
            lifecycle=self._lifecycle,
            is_started=self._lifecycle != "starting",
            failing=failing,
            dead_tasks=self._supervisor.dead_loops() if self._lifecycle == "running" else (),
        )

    def status(self) -> Status:
        """The readings of all parts."""
        return Status(
            lifecycle=self._lifecycle,
            pools={name: pool.reading() for name, pool in self._pools.items()},
            store_problem=self._watch.problem,
            snapshot=self._snapshots.last,
            tasks=self._supervisor.task_counts(),
        )

    def _become(self, state: LifecycleState) -> None:
        self._lifecycle = state
        self._emit(LifecycleChanged(state))


def without_canaries(emit: Emit) -> Emit:
    """`emit` for what is rare, and may be about what an earlier process's canary left behind."""

    def emit_others(event: Event) -> None:
        if getattr(event, "queue", None) != CANARY:
            emit(event)

    return emit_others
