"""The composition root: builds every part, starts them in order, and stops them in order.

With `parts`, the only module that knows all others. `Daemon.run` is the life of the process: start,
serve until a signal, drain, stop; its answer is the exit code.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from types import FrameType
from typing import Final

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from tirelessd import __version__
from tirelessd.api.app import build_app
from tirelessd.api.limits import OPS_LIMITS
from tirelessd.api.listener import Listener
from tirelessd.api.ops import build_ops_app
from tirelessd.core.clock import Clock, SystemClock
from tirelessd.core.errors import StartError, StoreUnavailable
from tirelessd.core.events import SignalIgnored, StartSlow, TasksLeftBehind
from tirelessd.core.tracer import NO_TRACER, Tracer
from tirelessd.engine.engine import Engine
from tirelessd.engine.handlers.http import HttpHandler
from tirelessd.observe.dispatch import fan_out
from tirelessd.observe.event_log import EventLog
from tirelessd.observe.lines import LOOP_BLOCKED
from tirelessd.observe.logs import Logs
from tirelessd.observe.loop_watch import LoopWatch
from tirelessd.observe.metrics import About, Metrics
from tirelessd.observe.scrape import ScrapeHandler
from tirelessd.observe.unhandled import UnhandledErrors
from tirelessd.parts import make_auth, make_handler, make_limits, make_store, make_tracing
from tirelessd.settings import Settings

# A commit thread beside a busy loop gets seven times as many commits through as with 5 ms.
SWITCH_INTERVAL_SECONDS: Final = 0.0005
# An item leaves no cycles behind, so the collector finds next to nothing: it looks after so many
# new objects instead of after 700, which cost a twelfth of all time.
COLLECT_AFTER_OBJECTS: Final = 20_000
# What the drain leaves of the pod's grace, which is five seconds more than both drains take.
CLOSE_SECONDS: Final = 2.5
# The log, the store's files, both sockets that listen, the loop's own, and some probes at once.
BASE_DESCRIPTORS: Final = 64
LISTENER_STOP_SECONDS: Final = 0.5
FLUSH_SECONDS: Final = 1.0
# What a second signal leaves the log to write what it has.
LAST_WORDS_SECONDS: Final = 0.25
# A start that takes longer is told of.
SLOW_START_SECONDS: Final = 10.0
# Between two tries to reach a store that was not there at the start.
MOST_SECONDS_BETWEEN_TRIES: Final = 1.0
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
# They would end the process undrained, and mean "read your settings again" or "rotate your log" to
# whoever sends them; neither is needed here.
IGNORED_SIGNALS: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Daemon:
    """One tirelessd: its listeners, its engine, its store, and what watches them."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self._settings = settings
        self._metrics = self._make_metrics(clock)
        self._logs = Logs(
            level=settings.log.level,
            format=settings.log.format,
            version=__version__,
            # In a container it is the name of the pod.
            pod=os.uname().nodename,
            clock=clock,
            tally=self._metrics.line_tally,
        )
        # The counters first: a log line that fails is counted too.
        self._emit = fan_out([self._metrics.table, EventLog(self._logs).table])
        self._tracing = make_tracing(settings, self._emit) if settings.tracing.enabled else None
        self._tracer: Tracer = NO_TRACER if self._tracing is None else self._tracing.tracer
        self._unhandled = UnhandledErrors(self._emit)
        self._loop_watch = LoopWatch(self._emit, self._tell_blocked)
        self._store = make_store(settings, clock, self._emit)
        self._is_store_open = self._is_serving = False
        self._engine = self._make_engine(clock)
        if settings.canary_seconds is not None:
            self._engine.send_canaries(settings.canary_seconds)
        self._scrape = ScrapeHandler(self._metrics.registry, self._read_gauges)
        self._ops = self._make_ops(clock)
        self._api = self._make_api(clock)
        self._stopping = asyncio.Event()
        self._is_leaving = False
        self._start_limit: asyncio.Timeout | None = None

    # --- building ------------------------------------------------------------

    def _make_metrics(self, clock: Clock) -> Metrics:
        return Metrics(
            self._settings.queue_configs,
            backend="postgresql" if self._settings.is_shared else "sqlite",
            about=About(__version__, self._settings.fingerprint, revision()),
            clock=clock,
            buckets=self._settings.metrics.buckets.buckets(),
            has_canary=self._settings.canary_seconds is not None,
            is_traced=self._settings.tracing.enabled,
        )

    def _make_engine(self, clock: Clock) -> Engine:
        queues = self._settings.queues.items()
        self._handlers = {name: make_handler(each, clock, self._emit) for name, each in queues}
        return Engine(
            self._settings.queue_configs,
            self._handlers,
            self._store,
            self._emit,
            clock,
            self._logs.handler_logger,
            tracer=self._tracer,
        )

    def _make_api(self, clock: Clock) -> Listener:
        settings, limits = self._settings, make_limits(self._settings)
        app = build_app(
            self._engine.intake,
            self._engine.desk,
            make_auth(settings),
            limits,
            self._emit,
            clock,
            self._tracer,
        )
        # Or a crowd of callers would leave the attempts and the probes without a connection.
        spare = BASE_DESCRIPTORS + sum(queue.slots for queue in settings.queues.values())
        host, port = settings.api.host, settings.api.port
        return Listener("api", app, host, port, limits, self._emit, spare)

    def _make_ops(self, clock: Clock) -> Listener:
        settings = self._settings
        app = build_ops_app(self._scrape, self._engine.health, self._engine.status, clock)
        return Listener("ops", app, settings.ops.host, settings.ops.port, OPS_LIMITS, self._emit)

    def _tell_blocked(self, seconds: float, where: str) -> None:
        """Called in a thread, for the loop may never come to it; errors are not sampled."""
        self._logs.write(LOOP_BLOCKED, seconds=seconds, where=where)

    def _read_gauges(self) -> None:
        """Before a scrape: count what is not counted yet, take over what is only read."""
        health, status = self._engine.health(), self._engine.status()
        self._metrics.catch_up()
        self._metrics.see_pools(status.pools)
        self._metrics.see_tasks(
            status.tasks,
            connections=self._api.connections + self._ops.connections,
            total=len(asyncio.all_tasks()),
        )
        if (connections := self._store.connections()) is not None:
            self._metrics.see_store_connections(
                used=connections.used, idle=connections.idle, most=connections.most
            )
        handlers = [each for each in self._handlers.values() if isinstance(each, HttpHandler)]
        self._metrics.see_connections([handler.connections() for handler in handlers])
        self._metrics.see_life(
            status.lifecycle,
            is_ready=not health.failing,
            is_store_up=status.store_problem is None,
        )
        if (taken := status.snapshot) is not None:
            self._metrics.see_store(
                taken.snapshot, taken_at=taken.taken_at, duration_seconds=taken.duration_seconds
            )

    # --- living --------------------------------------------------------------

    @property
    def api_port(self) -> int:
        """The port of the intake and read API, once it listens."""
        return self._api.port

    @property
    def ops_port(self) -> int:
        """The port of metrics and probes, once it listens."""
        return self._ops.port

    async def run(self) -> int:
        """Live until a signal; the exit code. Raises `StartError` when it cannot start.

        Ends in bounded time. Tasks and threads that would not end by then are left to the caller,
        who owns the loop and the process.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self._logs.install()
        self._unhandled.install(asyncio.get_running_loop())
        self._loop_watch.start()
        try:
            self._take_signals()
            return await self._live()
        finally:
            self._loop_watch.stop()
            self._unhandled.uninstall()
            self._logs.close()

    async def _live(self) -> int:
        if not await self._start_unless_stopped():
            return 0
        spare_the_collector()
        try:
            await self._stopping.wait()
        except asyncio.CancelledError:
            # Nobody but a handler out of its mind would: the others get their drain all the same.
            await self.stop()
            raise
        return await self.stop()

    async def _start_unless_stopped(self) -> bool:
        """Start; False when a signal came first, however long a disk or an import takes."""
        slow = self._loop.call_later(SLOW_START_SECONDS, self._emit, StartSlow(SLOW_START_SECONDS))
        try:
            async with asyncio.timeout(None) as self._start_limit:
                await self.start()
        except TimeoutError:
            if not self._stopping.is_set():
                raise
            return False
        finally:
            self._start_limit = None
            slow.cancel()
        return True

    async def start(self) -> None:
        """Open everything: the probes first, intake last.

        What was opened is closed on failure, in bounded time.
        """
        try:
            # A port that is taken is found before the store is touched, or an item claimed.
            if self._settings.has_intake:
                await self._api.bind()
            # The probes answer while a large store is being opened: starting, not dead.
            await self._ops.start()
            await self._reach_store()
            await self._engine.start()
            # Before any loop of the engine has had its first step: whatever they count is foreseen.
            self._read_gauges()
            await self._serve()
        except BaseException:
            # The engine may have claimed already: those items are handed back, not abandoned.
            self._engine.begin_drain()
            await self._engine.drain(0)
            await self._close_in_time()
            raise

    async def _reach_store(self) -> None:
        """Open the store and learn what it holds, whenever it can be reached."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_random_exponential(multiplier=0.1, max=MOST_SECONDS_BETWEEN_TRIES),
            before_sleep=self._wait_for_store,
        )
        try:
            await retrying(self._open_store)
        except StartError as error:
            raise type(error)(f"store: {error}") from None

    async def _open_store(self) -> None:
        if not self._is_store_open:
            await self._store.open()
            self._is_store_open = True
            self._metrics.name_store(self._store.label)
        await self._engine.learn()

    async def _wait_for_store(self, state: RetryCallState) -> None:
        """Tell why it takes longer, and answer callers meanwhile: they may come again."""
        assert state.outcome is not None
        error = state.outcome.exception()
        assert isinstance(error, StoreUnavailable)
        self._engine.store_is_away(error)
        await self._serve()

    async def _serve(self) -> None:
        if self._settings.has_intake and not self._is_serving:
            self._is_serving = True
            await self._api.start()

    async def stop(self) -> int:
        """Drain and close everything; 1 when an attempt had to be abandoned, else 0."""
        self._engine.begin_drain()
        # Load balancers and kept connections learn of it while intake still accepts.
        if self._settings.has_intake:
            self._api.begin_leaving()
            await asyncio.sleep(self._settings.pre_drain_seconds)
        counts = await self._engine.drain(self._settings.drain_seconds)
        if counts["abandoned"]:
            # What is counted ends with the process, and this is what an alert is waiting for.
            await self._scrape.wait_last(self._settings.ops.last_scrape_seconds)
        await self._close_in_time()
        return 1 if counts["abandoned"] else 0

    async def _close_in_time(self) -> None:
        """Close everything, or as much as a disk or a thread that hangs allows."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._close()
        except TimeoutError:
            self._emit(TasksLeftBehind(["closing"]))

    async def _close(self) -> None:
        # Callers first, so that none sees a store that is already closed; probes last.
        await self._api.stop(LISTENER_STOP_SECONDS)
        if stubborn := await self._engine.stop():
            self._emit(TasksLeftBehind(stubborn))
        await self._store.close()
        # What is durable goes first: spans may be lost, and a collector may be slow.
        if self._tracing is not None:
            await self._tracing.close(FLUSH_SECONDS)
        await self._ops.stop(LISTENER_STOP_SECONDS)
        self._scrape.close()

    # --- signals -------------------------------------------------------------

    def _take_signals(self) -> None:
        self._loop = asyncio.get_running_loop()
        # The end of the terminal that shows the daemon is a request to go.
        self._ignored = set(IGNORED_SIGNALS) - ({signal.SIGHUP} if os.isatty(0) else set())
        # Not the loop's own handlers: one that blocks the loop must not outlast a second request.
        for number in (*SIGNALS, *IGNORED_SIGNALS):
            # Who has had a signal ignored before the start, as nohup does, wants it so.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._signalled)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        """Called between any two steps of the program: so it only says what is to be done."""
        if number in self._ignored:
            if not self._loop.is_closed():
                event = SignalIgnored(signal.Signals(number).name)
                self._loop.call_soon_threadsafe(self._emit, event)
        elif self._is_leaving or self._loop.is_closed():
            # No unwinding: whatever holds up the drain would hold up this request too.
            self._logs.close(LAST_WORDS_SECONDS)
            os._exit(128 + number)
        else:
            self._is_leaving = True
            self._loop.call_soon_threadsafe(self._begin_leaving)

    def _begin_leaving(self) -> None:
        self._stopping.set()
        if self._start_limit is not None:
            # Interrupts the start from within, as its time limit would.
            self._start_limit.reschedule(self._loop.time())


def spare_the_collector() -> None:
    """Have the garbage collector pass over what the start has made, and come less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, *gc.get_threshold()[1:])


def revision() -> str:
    """The commit that an image was built from; elsewhere nobody knows what was checked out."""
    return os.environ.get("TIRELESSD_REVISION") or "unknown"
