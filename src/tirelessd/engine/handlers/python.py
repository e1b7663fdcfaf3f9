"""The handler that calls a Python function of somebody's own, in the loop or in a thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from tirelessd.core.decision import Complete
from tirelessd.core.errors import AttemptError, GiveUp, Retry
from tirelessd.core.item import Context, Item
from tirelessd.core.outcome import Reason, text_of_error
from tirelessd.core.policy import is_own_cancellation
from tirelessd.engine.handlers.loading import is_async, load_function
from tirelessd.engine.handlers.threads import DaemonThreads

RESULT_MAX_BYTES: Final = 1_048_576


class PythonHandler:
    """Calls `package.module:function` with an item and its context.

    An `async def` runs in the event loop, a plain `def` in one of `slots` threads. Neither can be
    made to end: one may ignore its cancellation and the other never hears of it, so an attempt
    lasts until the function has really ended.
    """

    def __init__(self, function: str, slots: int) -> None:
        self._path = function
        self._function: Callable[..., Any]
        self._loop: asyncio.AbstractEventLoop
        self._threads: DaemonThreads | None = None
        self._slots = slots

    async def open(self) -> None:
        """Find the function; raises `Misconfigured` when it is missing or cannot be a handler."""
        self._loop = asyncio.get_running_loop()
        self._function = load_function(self._path)
        if not is_async(self._function):
            self._threads = DaemonThreads(f"handler {self._path}", self._slots)

    async def close(self) -> None:
        """Let the threads go; one that is still at work does not hold up the exit."""
        if self._threads is not None:
            self._threads.close()

    async def attempt(self, item: Item, context: Context) -> Complete:
        """Call the function once; what it raises is the failure, what it returns the result.

        Bytes are kept as they are, text as UTF-8, anything else as JSON, None as no result; an
        answer that cannot be kept is a failure. A cancellation is passed on when the function has
        ended, however long that takes.
        """
        task = asyncio.current_task(
            self._loop
        )  # whoever closes this coroutine later runs in another
        try:
            answer = await self._call(item, context)
        except ExceptionGroup as group:
            raise meant_by(group) from group
        except BaseException as error:
            if isinstance(error, Exception) or _is_from_outside(error, task):
                raise
            # asyncio lets a SystemExit or KeyboardInterrupt out of a task end the whole loop.
            raise AttemptError(Reason.HANDLER, text_of_error(error)) from error
        return completed_with(answer)

    async def _call(self, item: Item, context: Context) -> Any:
        if self._threads is None:
            return await self._function(item, context)
        answer = await _ended(self._threads.run(self._function, item, context))
        # A decorator may have hidden that the function is an async one.
        return await answer if inspect.isawaitable(answer) else answer


def meant_by(group: ExceptionGroup[Exception]) -> Exception:
    """The one failure that several stand for, such as those of the tasks of a `TaskGroup`.

    To give up decides, and after it to retry, as late as any of them asks for. Others decide only
    where they are of one type; else they are an error of the handler, which tells of each.
    """
    errors = [*_leaves(group)]
    if give_ups := [error for error in errors if isinstance(error, GiveUp)]:
        return give_ups[0]
    if retries := [error for error in errors if isinstance(error, Retry)]:
        return max(retries, key=lambda retry: retry.retry_after_seconds or 0.0)
    if len({type(error) for error in errors}) == 1:
        return errors[0]
    return AttemptError(Reason.HANDLER, "; ".join(map(text_of_error, errors)))


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def completed_with(answer: Any) -> Complete:
    """The success that a function's answer means.

    Raises `AttemptError` when the answer is no bytes, text or JSON, or takes more than
    `RESULT_MAX_BYTES`.
    """
    if answer is None:
        return Complete()
    try:
        content, content_type = _encoded(answer)
    except Exception as error:  # objects of the handler's own may raise anything
        raise AttemptError(
            Reason.HANDLER, f"its answer is no bytes, text or JSON: {text_of_error(error)}"
        ) from error
    if len(content) > RESULT_MAX_BYTES:
        raise AttemptError(
            Reason.HANDLER,
            f"its answer takes {len(content)} bytes, more than the {RESULT_MAX_BYTES} that are"
            " kept; store it elsewhere and answer where",
        )
    return Complete(content, content_type)


def _encoded(answer: Any) -> tuple[bytes, str]:
    if isinstance(answer, bytes | bytearray | memoryview):
        return bytes(answer), "application/octet-stream"
    if isinstance(answer, str):
        return answer.encode(), "text/plain; charset=utf-8"
    return msgspec.json.encode(answer), "application/json"


async def _ended(call: asyncio.Future[Any]) -> Any:
    """What a thread's call came to, when it has ended; only then is a cancellation passed on."""
    try:
        await _wait_done(call)
    except asyncio.CancelledError:
        _discard(call)
        raise
    return call.result()


async def _wait_done(call: asyncio.Future[Any]) -> None:
    try:
        await asyncio.wait({call})
    except asyncio.CancelledError:
        await _wait_done(call)
        raise


def _discard(call: asyncio.Future[Any]) -> None:
    """Take note of an answer that nobody wants any more, or the interpreter complains of it."""
    if call.exception() is None and inspect.iscoroutine(call.result()):
        call.result().close()


def _is_from_outside(error: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """Whether an error is how the loop ends this attempt, and none of the function's own."""
    if isinstance(error, GeneratorExit):
        return _running_task() is not task
    return is_own_cancellation(error)


def _running_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs any more: the interpreter is clearing up
        return None
