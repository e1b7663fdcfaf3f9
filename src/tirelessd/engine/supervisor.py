"""The one owner of tasks: it names them, restarts loops that fail, and knows which are alive.

The event loop keeps only weak references to tasks, so every task of the daemon is held here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context as Variables
from typing import Any, Final

from tirelessd.core.events import (
    BackgroundRoundsStarted,
    BackgroundTaskFailed,
    BackgroundTaskSucceeded,
    Emit,
    UnexpectedError,
)

RESTART_FLOOR_SECONDS: Final = 0.1
RESTART_CAP_SECONDS: Final = 5.0
HEALTHY_SECONDS: Final = 60.0


class Supervisor:
    """Starts tasks, restarts background loops with a growing pause, stops them all."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        # Asked for once: until Python 3.12 each `get_running_loop` is a system call.
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False

    def spawn(
        self, work: Coroutine[Any, Any, Any], name: str, variables: Variables | None = None
    ) -> asyncio.Task[Any]:
        """Run a task that somebody else waits for; it is held until it ends.

        `variables` are its context variables, a copy of the caller's when left out.
        """
        # The loop itself holds tasks weakly: one that nobody holds may vanish in mid-work.
        task = self._loop.create_task(work, name=name, context=variables)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start_loop(self, name: str, body: Callable[[], Awaitable[None]]) -> None:
        """Keep a loop running: one that raises is told and restarted, one that returns is done."""
        self._loops[name] = self.spawn(self._keep_running(name, body), name)

    def start_rounds(
        self, name: str, interval_seconds: float, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Do a piece of work at once and then every so often; a round that failed comes again."""

        async def rounds_loop() -> None:
            failures = 0
            while True:
                try:
                    await work()
                except Exception as error:  # noqa: BLE001  (told, and tried again)
                    failures += 1
                    self._emit(BackgroundTaskFailed(name, error, failures))
                    await asyncio.sleep(min(restart_pause(failures), interval_seconds))
                else:
                    failures = 0
                    self._emit(BackgroundTaskSucceeded(name))
                    await asyncio.sleep(interval_seconds)

        self._emit(BackgroundRoundsStarted(name, interval_seconds))
        self.start_loop(name, rounds_loop)

    async def _keep_running(self, name: str, body: Callable[[], Awaitable[None]]) -> None:
        restarts = 0
        while True:
            started = self._loop.time()
            try:
                return await body()
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and not self._take_back_strangers():
                    raise
                ran_well = self._loop.time() - started > HEALTHY_SECONDS
                restarts = 1 if ran_well else restarts + 1
                self._emit(BackgroundTaskFailed(name, error, restarts))
            # Grows, so that a loop which cannot run at all does not burn the processor.
            await asyncio.sleep(restart_pause(restarts))

    def _take_back_strangers(self) -> bool:
        """Whether a cancellation came from somebody whose business it is not; it is undone then.

        A handler that cancels every task there is must not leave a daemon without its loops.
        """
        task = asyncio.current_task()
        if self._is_stopping or task is None:
            return False
        # Or whatever the loop does next would look as if it were about to end.
        task.uncancel()
        return True

    def dead_loops(self) -> list[str]:
        """The loops that ended although nobody stopped them; a live daemon has none."""
        return sorted(name for name, task in self._loops.items() if task.done())

    def task_counts(self) -> dict[str, int]:
        """How many tasks are alive, by the first word of their name."""
        counts: dict[str, int] = {}
        for task in self._tasks:
            kind = task.get_name().partition(" ")[0]
            counts[kind] = counts.get(kind, 0) + 1
        return counts

    async def stop(self, timeout_seconds: float) -> list[str]:
        """Cancel everything and wait, bounded; the names of those that would not end."""
        self._is_stopping = True
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_seconds)
        # A task that failed while it was being stopped has nobody else to tell.
        for task in tasks:
            self._report_end(task)
        return sorted(task.get_name() for task in tasks if not task.done())

    def _report_end(self, task: asyncio.Task[Any]) -> None:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            self._emit(UnexpectedError(task.get_name(), error))


def restart_pause(failures: int) -> float:
    """Seconds before what failed so often in a row is started again."""
    return float(min(RESTART_FLOOR_SECONDS * 2 ** min(failures - 1, 10), RESTART_CAP_SECONDS))
