"""Errors that reach nobody, from lost tasks, threads and finalizers: told instead of printed."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

from tirelessd.core.events import Emit, UnexpectedError
from tirelessd.core.outcome import bounded_text


class UnhandledErrors:
    """Turns what nobody caught into `UnexpectedError`, from `install` to `uninstall`.

    Errors of threads and finalizers are handed to the event loop, so that observers are called in
    its thread alone.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._former = (threading.excepthook, sys.unraisablehook)

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take over the loop's and the interpreter's hooks."""
        self._loop = loop
        self._former = (threading.excepthook, sys.unraisablehook)
        loop.set_exception_handler(self._in_loop)
        threading.excepthook = self._in_thread
        sys.unraisablehook = self._in_finalizer

    def uninstall(self) -> None:
        """Give the hooks back to whoever had them; idempotent."""
        if self._loop is None:
            return
        self._loop.set_exception_handler(None)
        self._loop = None
        threading.excepthook, sys.unraisablehook = self._former

    def _in_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """asyncio's last resort, "Task exception was never retrieved" for one."""
        # asyncio puts objects into some messages, and their texts may be anybody's.
        message = bounded_text(str(context.get("message", "an error that nobody caught")))
        task = context.get("task") or context.get("future")
        name = f" ({task.get_name()})" if isinstance(task, asyncio.Task) else ""
        error = context.get("exception") or RuntimeError(message)
        self._emit(UnexpectedError(message + name, error))

    def _in_thread(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "unknown"
        if args.exc_value is not None:
            self._hand_over(UnexpectedError(f"thread {name}", args.exc_value))

    def _in_finalizer(self, args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            self._hand_over(UnexpectedError(args.err_msg or "finalizer", args.exc_value))

    def _hand_over(self, event: UnexpectedError) -> None:
        # A finalizer may run in any thread, and during the interpreter's last moments.
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._emit, event)
