"""A function of somebody's own: what it may answer, raise and refuse to do."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from tests.engine.handlers.upstream import PATIENCE_SECONDS, a_context, an_item
from tirelessd import Context, GiveUp, Item, Retry
from tirelessd.core.decision import Complete
from tirelessd.core.errors import AttemptError, StartError
from tirelessd.core.outcome import Classifier, Reason
from tirelessd.engine.handlers.python import RESULT_MAX_BYTES, PythonHandler

Function = Callable[..., Any]
Opened = Callable[..., Awaitable[PythonHandler]]


@pytest.fixture
async def opened(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    """Opens a handler for a function, as if it stood in a module."""
    handlers: list[PythonHandler] = []

    async def open_for(function: Function, slots: int = 2) -> PythonHandler:
        module = ModuleType("shop_under_test")
        vars(module)["handle"] = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        handlers.append(PythonHandler("shop_under_test:handle", slots))
        await handlers[-1].open()
        return handlers[-1]

    yield open_for
    for handler in handlers:
        await handler.close()


def plain(do: Callable[[], Any]) -> Function:
    """A plain `def` that does it."""

    def handle(_item: Item, _context: Context) -> Any:
        return do()

    return handle


def coroutine(do: Callable[[], Any]) -> Function:
    """An `async def` that does it."""

    async def handle(_item: Item, _context: Context) -> Any:
        await asyncio.sleep(0)
        return do()

    return handle


either = pytest.mark.parametrize("kind", [plain, coroutine], ids=["plain", "async"])


@dataclass
class Prediction:
    """Something a handler may well answer."""

    label: str
    score: float


@either
@pytest.mark.parametrize(
    ("answer", "complete"),
    [
        (None, Complete()),
        (b"", Complete(b"")),
        (b"\0\xff", Complete(b"\0\xff")),
        (bytearray(b"ab"), Complete(b"ab")),
        # Named, for its repr has an address, and every worker must find the same tests.
        pytest.param(memoryview(b"ab"), Complete(b"ab"), id="memoryview"),
        ("", Complete(b"", "text/plain; charset=utf-8")),
        ("zu spät", Complete("zu spät".encode(), "text/plain; charset=utf-8")),
        ({"a": [1, None]}, Complete(b'{"a":[1,null]}', "application/json")),
        ([], Complete(b"[]", "application/json")),
        (0, Complete(b"0", "application/json")),
        (False, Complete(b"false", "application/json")),
        (Prediction("cat", 0.5), Complete(b'{"label":"cat","score":0.5}', "application/json")),
        (datetime(2026, 1, 2, tzinfo=UTC), Complete(b'"2026-01-02T00:00:00Z"', "application/json")),
        ("x" * RESULT_MAX_BYTES, Complete(b"x" * RESULT_MAX_BYTES, "text/plain; charset=utf-8")),
    ],
    ids=lambda value: "" if isinstance(value, Complete) else repr(value)[:20],
)
async def test_answer_becomes_the_result(
    opened: Opened, kind: Callable[..., Function], answer: Any, complete: Complete
) -> None:
    """Bytes stay bytes, text becomes UTF-8, anything else JSON, None no result."""
    handler = await opened(kind(lambda: answer))

    result = await handler.attempt(an_item(), a_context())

    assert result == complete


class Spiteful:
    """An object that defies every look at it."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise LookupError("do not look")


def endless() -> list[Any]:
    """A list that holds itself."""
    loop: list[Any] = []
    loop.append(loop)
    return loop


async def stream() -> AsyncIterator[int]:
    """An async generator."""
    yield 1


@either
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (object, "its answer is no bytes, text or JSON: TypeError: "),
        (lambda: (number for number in range(3)), "objects of type generator"),
        (stream, "objects of type async_generator"),
        (Spiteful, "its answer is no bytes, text or JSON: "),
        (endless, "its answer is no bytes, text or JSON: RecursionError: "),
        (lambda: {(1, 2): 3}, "its answer is no bytes, text or JSON: TypeError: "),
        (lambda: "\ud800", "its answer is no bytes, text or JSON: UnicodeEncodeError: "),
        (lambda: "ü" * RESULT_MAX_BYTES, "its answer takes 2097152 bytes, more than the 1048576"),
        (lambda: bytes(RESULT_MAX_BYTES + 1), "store it elsewhere and answer where"),
        (lambda: ["x" * RESULT_MAX_BYTES], "its answer takes 1048580 bytes"),
    ],
    ids=[
        "object",
        "generator",
        "async generator",
        "spiteful",
        "endless",
        "odd keys",
        "half a surrogate pair",
        "large text",
        "large bytes",
        "large json",
    ],
)
async def test_answer_that_cannot_be_kept_is_a_failure(
    opened: Opened, kind: Callable[..., Function], make: Callable[[], Any], why: str
) -> None:
    """An answer that is none of the allowed things, or too large, fails with a clear detail."""
    handler = await opened(kind(make))

    with pytest.raises(AttemptError) as caught:
        await handler.attempt(an_item(), a_context())

    assert caught.value.reason == Reason.HANDLER
    assert why in caught.value.detail


def raising(error: BaseException) -> Callable[[], Any]:
    """Something that raises."""

    def do() -> Any:
        raise error

    return do


@either
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        Retry("later", after_seconds=2.0),
        GiveUp("never"),
        TimeoutError(),
        OSError(),
    ],
    ids=repr,
)
async def test_exception_of_a_function_is_the_failure(
    opened: Opened, kind: Callable[..., Function], error: Exception
) -> None:
    """What a function raises reaches the policy untouched, with its type and all it carries."""
    handler = await opened(kind(raising(error)))

    with pytest.raises(type(error)) as caught:
        await handler.attempt(an_item(), a_context())

    assert caught.value is error


class Unprintable(BaseException):
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise ValueError("not telling")


@either
@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit("out"), "GeneratorExit: out"),
        (asyncio.CancelledError("mine"), "CancelledError: mine"),
        (Unprintable(), "Unprintable: (its message cannot be shown: ValueError)"),
        (BaseException("x" * 10_000_000), "BaseException: " + "x" * 985),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_no_error_of_a_function_ends_the_daemon(
    opened: Opened, kind: Callable[..., Function], error: BaseException, detail: str
) -> None:
    """What would end the loop, or pass for a cancellation, is the attempt's failure instead."""
    handler = await opened(kind(raising(error)))

    async with asyncio.TaskGroup() as tasks:
        attempt = tasks.create_task(failure_of(handler))

    failure = attempt.result()
    assert isinstance(failure, AttemptError)
    assert failure.reason == Reason.HANDLER
    assert failure.detail == detail


async def failure_of(handler: PythonHandler) -> BaseException | None:
    """What the attempt of a task of its own, as the engine runs it, ends with."""
    task = asyncio.get_running_loop().create_task(handler.attempt(an_item(), a_context()))
    await asyncio.wait({task})
    return task.exception()


@either
async def test_stop_iteration_is_a_failure_too(
    opened: Opened, kind: Callable[..., Function]
) -> None:
    """The one exception that no coroutine can raise arrives as the interpreter rewrites it."""
    handler = await opened(kind(raising(StopIteration())))

    failure = await failure_of(handler)

    assert failure is not None
    assert "raised StopIteration" in Classifier().classify(failure).detail


@either
async def test_function_gets_the_item_and_the_context(
    opened: Opened, kind: Callable[..., Function]
) -> None:
    """Both arguments are the attempt's own, whichever way the function is written."""
    seen: list[Any] = []
    item, context = an_item(b'{"n": 1}'), a_context(3)

    def note(item: Item, context: Context) -> int:
        seen.extend([item, context])
        return int(item.json()["n"])

    async def note_async(item: Item, context: Context) -> int:
        return note(item, context)

    handler = await opened(note if kind is plain else note_async)

    complete = await handler.attempt(item, context)

    assert complete.result == b"1"
    assert seen[0] is item
    assert seen[1] is context


async def test_plain_functions_run_beside_each_other_and_the_loop(opened: Opened) -> None:
    """As many plain functions block at once as there are slots, and the loop is not blocked."""
    all_in = threading.Barrier(4)
    names: set[str] = set()

    def meet() -> None:
        all_in.wait(PATIENCE_SECONDS)
        names.add(threading.current_thread().name)

    handler = await opened(plain(meet), slots=4)

    await asyncio.gather(*(handler.attempt(an_item(), a_context()) for _ in range(4)))

    assert names == {f"handler shop_under_test:handle {number}" for number in range(1, 5)}


async def test_plain_function_that_returns_a_coroutine_is_awaited(opened: Opened) -> None:
    """A decorator that hides an `async def` does no harm."""

    async def hidden(_item: Item, _context: Context) -> str:
        await asyncio.sleep(0)
        return "done"

    def visible(item: Item, context: Context) -> Awaitable[str]:
        return hidden(item, context)

    handler = await opened(visible)

    complete = await handler.attempt(an_item(), a_context())

    assert complete.result == b"done"


async def test_cancelled_coroutine_may_clear_up(opened: Opened) -> None:
    """A cancellation reaches an `async def`, and passes on when it has cleared up."""
    started, cleared = asyncio.Event(), asyncio.Event()

    async def handle(_item: Item, _context: Context) -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleared.set()

    handler = await opened(handle)
    task = asyncio.get_running_loop().create_task(handler.attempt(an_item(), a_context()))
    await started.wait()
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert cleared.is_set()


async def test_coroutine_that_ignores_its_cancellation_runs_on(opened: Opened) -> None:
    """The attempt lasts as long as the function does; its late answer is the attempt's."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def handle(_item: Item, _context: Context) -> str:
        while not go_on.is_set():
            try:
                started.set()
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    handler = await opened(handle)
    task = asyncio.get_running_loop().create_task(handler.attempt(an_item(), a_context()))
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    ran_on = not task.done()
    go_on.set()

    assert ran_on
    assert (await task).result == b"late"


@pytest.mark.parametrize("ending", ["answers", "raises", "returns a coroutine"])
async def test_cancelled_thread_is_waited_for(opened: Opened, ending: str) -> None:
    """However often it is cancelled, an attempt ends only when its thread has really ended."""
    started, go_on = threading.Event(), threading.Event()

    def handle(_item: Item, _context: Context) -> Any:
        started.set()
        go_on.wait(PATIENCE_SECONDS)
        if ending == "raises":
            raise ValueError("too late")
        return asyncio.sleep(0) if ending == "returns a coroutine" else "late"

    handler = await opened(handle)
    task = asyncio.get_running_loop().create_task(handler.attempt(an_item(), a_context()))
    await asyncio.to_thread(started.wait, PATIENCE_SECONDS)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    was_waited_for = not task.done()
    go_on.set()
    await asyncio.wait({task})

    assert was_waited_for
    assert task.cancelled()


async def test_slot_taken_by_a_thread_is_free_again_after_it(opened: Opened) -> None:
    """After a cancelled attempt has ended, its thread serves the next one."""
    started, go_on = threading.Event(), threading.Event()

    def handle(item: Item, _context: Context) -> str:
        if item.payload == b"slow":
            started.set()
            go_on.wait(PATIENCE_SECONDS)
        return threading.current_thread().name

    handler = await opened(handle, slots=1)
    task = asyncio.get_running_loop().create_task(handler.attempt(an_item(b"slow"), a_context()))
    await asyncio.to_thread(started.wait, PATIENCE_SECONDS)
    task.cancel()
    go_on.set()
    await asyncio.wait({task})
    complete = await handler.attempt(an_item(b"next"), a_context())

    assert complete.result == b"handler shop_under_test:handle 1"


async def test_exit_raised_during_a_cancellation_is_a_failure(opened: Opened) -> None:
    """A function that answers its cancellation with `sys.exit` does not end the daemon."""
    started = asyncio.Event()

    async def handle(_item: Item, _context: Context) -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            sys.exit("I am leaving")

    handler = await opened(handle)
    task = asyncio.get_running_loop().create_task(handler.attempt(an_item(), a_context()))
    await started.wait()
    task.cancel()
    await asyncio.wait({task})

    failure = task.exception()
    assert isinstance(failure, AttemptError)
    assert failure.detail == "SystemExit: I am leaving"


async def test_task_left_behind_is_not_the_attempts_affair(opened: Opened) -> None:
    """An attempt is over when its function returns, though the function's tasks go on."""
    left: list[asyncio.Task[bool]] = []
    go_on = asyncio.Event()

    async def handle(_item: Item, _context: Context) -> str:
        left.append(asyncio.get_running_loop().create_task(go_on.wait()))
        return "done"

    handler = await opened(handle)

    complete = await handler.attempt(an_item(), a_context())
    was_running = not left[0].done()
    go_on.set()

    assert complete.result == b"done"
    assert was_running
    assert await left[0]


def test_attempt_that_is_thrown_away_makes_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the interpreter clears a suspended attempt away, it ends as coroutines do."""

    async def handle(_item: Item, _context: Context) -> None:
        await asyncio.Event().wait()

    module = ModuleType("shop_under_test")
    vars(module)["handle"] = handle
    monkeypatch.setitem(sys.modules, module.__name__, module)
    handler = PythonHandler("shop_under_test:handle", 1)

    async def suspend() -> Coroutine[Any, Any, Complete]:
        await handler.open()
        attempt = handler.attempt(an_item(), a_context())
        asyncio.get_running_loop().create_task(attempt)
        await asyncio.sleep(0)
        return attempt

    loop = asyncio.new_event_loop()
    attempt = loop.run_until_complete(suspend())
    loop.close()
    attempt.close()

    assert inspect.getcoroutinestate(attempt) == inspect.CORO_CLOSED


async def test_missing_function_stops_the_start() -> None:
    """A handler whose function is not there cannot be opened, and can be closed."""
    handler = PythonHandler("elsewhere_entirely:handle", 1)

    with pytest.raises(StartError, match="no module 'elsewhere_entirely'"):
        await handler.open()
    await handler.close()
