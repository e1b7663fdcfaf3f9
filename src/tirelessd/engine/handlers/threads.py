"""Threads for calls that block, in numbers that are bounded, and never in the way of the exit."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

_Call = Callable[[], None]


class DaemonThreads:
    """At most `size` threads, started as they are needed and kept for reuse.

    One that has had nothing to do for `idle_seconds` ends; None keeps them all.

    `concurrent.futures` waits for its threads when the interpreter ends, so that one call that
    never returns would keep the process alive; these are abandoned instead. All methods belong to
    the event loop's thread.
    """

    def __init__(self, name: str, size: int, idle_seconds: float | None = None) -> None:
        self._name: Final = name
        self._size: Final = size
        self._idle_seconds: Final = idle_seconds
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads = 0
        self._unfinished = 0

    def run(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Call the function in a thread, with a copy of the current context variables.

        The future is done when the call has ended, with whatever it raised; cancelling the future
        does not end the call. With all threads busy the call waits for one. As in a coroutine, a
        `StopIteration` becomes a `RuntimeError`.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        call = functools.partial(contextvars.copy_context().run, function, *args)
        # Counted in the loop's thread alone, so without a lock: a thread whose delivery has been
        # seen is back for its next call before anybody could miss it.
        self._unfinished += 1
        if self._threads < min(self._unfinished, self._size):
            self._start_thread()
        self._calls.put(functools.partial(_run, call, future, self._deliver))
        return future

    def close(self) -> None:
        """End the idle threads now and each busy one after its call; waits for none."""
        for _ in range(self._threads):
            self._calls.put(None)
        self._threads = 0

    def _start_thread(self) -> None:
        self._threads += 1
        name = f"{self._name} {self._threads}"
        loop = asyncio.get_running_loop()
        retire = functools.partial(_tell, loop, self._retire)
        work = (self._calls, self._idle_seconds, retire)
        Thread(target=_work, args=work, name=name, daemon=True).start()

    def _retire(self) -> None:
        """An idle thread has ended; a call that came meanwhile may have counted on it."""
        if self._threads == 0:
            return  # closed
        self._threads -= 1
        if self._threads < min(self._unfinished, self._size):
            self._start_thread()

    def _deliver(self, future: asyncio.Future[T], ending: _Ending) -> None:
        self._unfinished -= 1
        if future.cancelled():
            return
        if ending.error is not None:
            future.set_exception(ending.error)
        else:
            future.set_result(ending.value)


class _Ending:
    """What a call came to. As a context it keeps every error, for a thread has nobody to tell."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(error, StopIteration):
            # A future refuses it, because it would end whichever generator awaits the future.
            self.error = RuntimeError("the function raised StopIteration")
            self.error.__cause__ = error
        else:
            self.error = error
        return True


def _work(
    calls: SimpleQueue[_Call | None], idle_seconds: float | None, retire: Callable[[], None]
) -> None:
    while True:
        try:
            call = calls.get(timeout=idle_seconds)
        except Empty:
            retire()
            return
        if call is None:
            return
        call()
        del call  # or it would keep its arguments alive until the next one comes


def _run(
    call: Callable[[], T],
    future: asyncio.Future[T],
    deliver: Callable[[asyncio.Future[T], _Ending], None],
) -> None:
    with _Ending() as ending:
        ending.value = call()
    _tell(future.get_loop(), deliver, future, ending)


def _tell(loop: asyncio.AbstractEventLoop, listener: Callable[..., None], *words: Any) -> None:
    """Call the listener in the loop's thread."""
    try:
        loop.call_soon_threadsafe(listener, *words)
    except RuntimeError:
        if not loop.is_closed():  # a closed loop has nobody left who waits
            raise
