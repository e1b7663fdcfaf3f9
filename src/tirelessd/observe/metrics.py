"""Metrics from events and readings, in a registry of their own.

Counters and histograms follow events; gauges are set from readings handed in, never counted up and
down, so that a missed event cannot leave one wrong for good.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from tirelessd.core.buckets import Buckets
from tirelessd.core.clock import Clock
from tirelessd.core.errors import StartError
from tirelessd.core.events import (
    ClockDiffers,
    DrainFinished,
    Event,
    HandlerStuck,
    HintsUnheard,
    LifecycleChanged,
    LifecycleState,
    ListenerOpened,
    QueuePaused,
    QueueResumed,
    SignalIgnored,
    StartSlow,
    StoreFailed,
    StoreHealed,
    TasksLeftBehind,
    TraceExportHealed,
    UnconfiguredItemsFound,
)
from tirelessd.core.queue import QueueConfig
from tirelessd.observe import labels
from tirelessd.observe.canary_metrics import CanaryMetrics
from tirelessd.observe.children import QueueGauges, StoreGauges
from tirelessd.observe.daemon_metrics import DaemonMetrics, IntakeMetrics, StoreMetrics
from tirelessd.observe.dispatch import Table
from tirelessd.observe.exemplars import Exemplars
from tirelessd.observe.families import SCHEMA, Families, InfoFamilies
from tirelessd.observe.item_metrics import ItemMetrics
from tirelessd.observe.journal import ROOM, Journal
from tirelessd.observe.readings import PoolReading, StoreReading
from tirelessd.observe.upstream_metrics import UpstreamMetrics

UNSEEN: Final[Mapping[type[Event], str]] = {
    QueuePaused: "tirelessd_queue_paused is read from the pool, and so survives a restart",
    QueueResumed: "as for QueuePaused",
    StoreFailed: "tirelessd_store_up is read from the engine; errors are counted per operation",
    StoreHealed: "as for StoreFailed",
    HandlerStuck: "tirelessd_slots_stuck is read from the pool",
    ClockDiffers: "a line for people",
    HintsUnheard: "a line for people",
    StartSlow: "nobody scrapes what has not started; /startupz says so",
    SignalIgnored: "a line for people",
    TasksLeftBehind: "the last line but one of a process that nobody will scrape again",
    TraceExportHealed: "the failures have stopped counting",
    LifecycleChanged: "tirelessd_lifecycle_state is read from the engine",
    DrainFinished: "its counts came one by one as ItemDrained",
    ListenerOpened: "a line for people",
    UnconfiguredItemsFound: "tirelessd_queue_items has them, under __unconfigured__",
}
"""Events that change no metric, each with the reason."""


class About(msgspec.Struct, frozen=True):
    """What the info families tell of this process."""

    version: str
    config_hash: str
    revision: str


class Metrics:
    """An observer; every legal series is in its `registry` from the start, at 0.

    `store_label` tells stores apart; the series of the store come with `name_store` where it is not
    known yet. `backend` is their kind. Events come, and `see_…` and `catch_up` are called, in the
    event loop's thread. The registry may be collected in any; it shows what came before the last
    `catch_up`.
    """

    def __init__(
        self,
        queues: Sequence[QueueConfig],
        *,
        store_label: str | None = None,
        backend: str,
        about: About,
        clock: Clock,
        buckets: Buckets | None = None,
        has_canary: bool = False,
        is_traced: bool = False,
    ) -> None:
        # Both look at the process as a whole, so they come before anything is made.
        refuse_multiprocess_mode()
        disable_created_metrics()
        self.registry = CollectorRegistry()
        families = Families(self.registry, buckets or Buckets())
        names = [queue.name for queue in queues]
        tell = self._tell_overflow
        # With spans each event counts as it comes: an exemplar tells when it was.
        self._journal = journal = Journal(room=1 if is_traced else ROOM)
        exemplars = Exemplars(clock, is_traced=is_traced)
        self._overflow = families.daemon.overflow
        self._pools = {queue.name: QueueGauges(families, queue) for queue in queues}
        self._families, self._names = families, names
        self._store: StoreGauges | None = None
        if store_label is not None:
            self.name_store(store_label)
        self._connections = {
            state: families.store.pool.labels(state) for state in labels.POOL_STATES
        }
        self._ready = families.daemon.ready
        self._tasks = {kind: families.daemon.tasks.labels(kind) for kind in labels.TASK_KINDS}
        self._lifecycle = {
            state: families.daemon.lifecycle.labels(state) for state in labels.LIFECYCLE_STATES
        }
        destinations = [queue.destination for queue in queues if queue.destination is not None]
        self._upstream = UpstreamMetrics(families.upstream, destinations, journal, tell)
        self._items = ItemMetrics(families, queues, exemplars, journal, tell)
        self._daemon = DaemonMetrics(families.daemon, clock, tell, has_canary=has_canary)
        canary = CanaryMetrics(families.canary, clock, tell).table() if has_canary else {}
        self.table: Table = {
            **IntakeMetrics(families.intake, exemplars, journal, tell).table(),
            **self._items.table(),
            **self._upstream.table(),
            **StoreMetrics(families.store, backend, journal, tell).table(),
            **self._daemon.table(),
            **canary,
        }
        # Last, so that what the daemon says of itself stands first in a scrape.
        add_process_families(self.registry)
        tell_about(families.info, about)

    def __call__(self, event: Event) -> None:
        """Count what happened."""
        see = self.table.get(type(event))
        if see is not None:
            see(event)

    @property
    def seen(self) -> frozenset[type[Event]]:
        """The types of event that change a metric."""
        return frozenset(self.table)

    @property
    def line_tally(self) -> DaemonMetrics:
        """Where the log counts its lines."""
        return self._daemon

    def catch_up(self) -> None:
        """Have everything in the registry that came until now."""
        self._journal.catch_up()

    def name_store(self, label: str) -> None:
        """Have the series of the store, which is open by now."""
        self._store = StoreGauges(self._families, label, self._names)

    def see_pools(self, pools: Mapping[str, PoolReading]) -> None:
        """Take over what the configured queues' pools say of themselves."""
        for queue, gauges in self._pools.items():
            if queue in pools:
                gauges.see(pools[queue])

    def see_store(self, reading: StoreReading, *, taken_at: float, duration_seconds: float) -> None:
        """Take over a snapshot of the store; `taken_at` in seconds since the epoch."""
        if self._store is None:
            return
        if any(reading.unconfigured.counts.values()):
            # Left from another configuration, or handed in by a process that has one.
            self._store.foresee_unconfigured()
            self._items.foresee_unconfigured()
        self._store.see(reading, taken_at, duration_seconds)

    def see_connections(self, connections: Sequence[tuple[int, int]]) -> None:
        """Take over how many connections each http handler uses, and how many it keeps."""
        self._upstream.see(connections)

    def see_store_connections(self, *, used: int, idle: int, most: int) -> None:
        """Take over how many connections to the store there are, and may be."""
        self._connections["used"].set(used)
        self._connections["idle"].set(idle)
        self._families.store.pool_most.set(most)

    def see_tasks(self, supervised: Mapping[str, int], *, connections: int, total: int) -> None:
        """Take over the tasks there are: supervised by first word, one a connection, and all."""
        counts = dict.fromkeys(labels.TASK_KINDS, 0)
        for word, count in supervised.items():
            counts[word if word in ("slot", "attempt") else "loop"] += count
        counts["request"] = connections
        counts["other"] = max(total - sum(counts.values()), 0)
        for kind, count in counts.items():
            self._tasks[kind].set(count)

    def see_life(self, state: LifecycleState, *, is_ready: bool, is_store_up: bool) -> None:
        """Take over what the daemon says of itself."""
        for name, gauge in self._lifecycle.items():
            gauge.set(name == state)
        self._ready.set(is_ready)
        if self._store is not None:
            self._store.up.set(is_store_up)

    def _tell_overflow(self, family: str, label: str) -> None:
        self._overflow.labels(family, label).inc()


def refuse_multiprocess_mode() -> None:
    """Raise `StartError` where prometheus_client would share values between processes.

    That mode knows neither exemplars nor info families, and one process a pod has no use for it.
    """
    # The library heeds both spellings.
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        if name in os.environ:
            raise StartError(f"{name} is set; tirelessd is one process, so unset it")


def add_process_families(registry: CollectorRegistry) -> None:
    """Memory, CPU, file descriptors, garbage collector and interpreter, under their usual names."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


def tell_about(families: InfoFamilies, about: About) -> None:
    """Set the info families."""
    families.build.info(
        {
            "version": about.version,
            "revision": about.revision,
            "python": platform.python_version(),
        }
    )
    families.config.info({"hash": about.config_hash})
    families.schema.info({"schema": SCHEMA})
