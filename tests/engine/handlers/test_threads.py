"""Threads for blocking calls: bounded, reused, and never in the way."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

from tests.waiting import wait_until
from tirelessd.engine.handlers.threads import DaemonThreads

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who")
PATIENCE_SECONDS = 10.0


def this_thread() -> str:
    """The name of the thread it is called in."""
    return threading.current_thread().name


async def test_value_of_a_call_comes_back() -> None:
    """A call gets its arguments and the future its value."""
    threads = DaemonThreads("t", 1)

    value = await threads.run(divmod, 7, 2)
    threads.close()

    assert value == (3, 1)


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit("out")], ids=repr
)
async def test_any_error_of_a_call_comes_back(error: BaseException) -> None:
    """What a call raises is the future's, even what would end an interpreter; the thread lives."""
    threads = DaemonThreads("t", 1)

    def fail() -> None:
        raise error

    future = threads.run(fail)
    await asyncio.wait({future})
    after = await threads.run(this_thread)
    threads.close()

    assert future.exception() is error
    assert after == "t 1"


async def test_stop_iteration_becomes_a_runtime_error() -> None:
    """A future refuses a `StopIteration`; its call ends all the same, as a coroutine's would."""
    threads = DaemonThreads("t", 1)

    with pytest.raises(RuntimeError, match="the function raised StopIteration"):
        await threads.run(next, iter(()))
    threads.close()


async def test_threads_are_bounded_and_reused() -> None:
    """As many calls run at once as there are threads; the rest wait for one of them."""
    threads = DaemonThreads("t", 2)
    both = threading.Barrier(2)

    def meet() -> str:
        both.wait(PATIENCE_SECONDS)
        return this_thread()

    names = await asyncio.gather(*(threads.run(meet) for _ in range(6)))
    threads.close()

    assert set(names) == {"t 1", "t 2"}


async def test_idle_thread_is_taken_before_a_new_one_is_started() -> None:
    """Calls one after the other share one thread, however many there may be."""
    threads = DaemonThreads("t", 8)

    names = {await threads.run(this_thread) for _ in range(8)}
    threads.close()

    assert names == {"t 1"}


async def test_call_sees_the_context_variables_of_its_caller() -> None:
    """A call runs in a copy of the caller's context; what it changes stays there."""
    threads = DaemonThreads("t", 1)
    WHO.set("caller")

    def look_and_change() -> str:
        seen = WHO.get()
        WHO.set("call")
        return seen

    seen = [await threads.run(look_and_change) for _ in range(2)]
    threads.close()

    assert seen == ["caller", "caller"]
    assert WHO.get() == "caller"


async def test_cancelled_future_leaves_its_call_alone() -> None:
    """The call goes on and its end is nobody's business; the thread takes the next one."""
    threads = DaemonThreads("t", 1)
    go_on = threading.Event()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))

    future = threads.run(go_on.wait, PATIENCE_SECONDS)
    future.cancel()
    go_on.set()
    after = await threads.run(this_thread)
    threads.close()

    assert future.cancelled()
    assert after == "t 1"
    assert complaints == []


async def test_idle_thread_keeps_nothing_of_its_last_call() -> None:
    """A payload is free as soon as its call is over, not when the next one comes."""
    threads = DaemonThreads("t", 1)

    class Payload:
        """Something large."""

    payload = Payload()
    kept = weakref.ref(payload)
    await threads.run(id, payload)
    del payload
    # The thread lets go just after it has delivered, with nobody to tell it to.
    async with asyncio.timeout(PATIENCE_SECONDS):
        while kept() is not None:
            await asyncio.sleep(0)
    threads.close()

    assert kept() is None


async def test_closed_threads_end() -> None:
    """Idle threads end when they are let go; a busy one ends after its call."""
    threads = DaemonThreads("closing", 2)
    go_on = threading.Event()
    busy = threads.run(go_on.wait, PATIENCE_SECONDS)
    await threads.run(this_thread)
    started = [each for each in threading.enumerate() if each.name.startswith("closing")]

    threads.close()
    go_on.set()
    await busy
    for thread in started:
        await asyncio.to_thread(thread.join, PATIENCE_SECONDS)

    assert len(started) == 2
    assert not any(thread.is_alive() for thread in started)


STUCK = """
import asyncio, threading
from tirelessd.engine.handlers.threads import DaemonThreads

async def main():
    started = threading.Event()
    threads = DaemonThreads("t", 1)
    threads.run(lambda: (started.set(), threading.Event().wait()))
    while not started.is_set():
        await asyncio.sleep(0)

asyncio.run(main())
print("over")
"""


def test_call_that_never_returns_does_not_hold_up_the_exit() -> None:
    """A process with a thread stuck in a call ends when its main part does."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", STUCK],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "over\n", "")


async def test_call_that_outlives_its_loop_ends_quietly() -> None:
    """When the loop is closed before a call ends, nobody is told and nothing is raised."""
    threads = DaemonThreads("outliving", 1)
    go_on = threading.Event()
    complaints: list[threading.ExceptHookArgs] = []

    def start_and_leave() -> None:
        async def start() -> None:
            threads.run(go_on.wait, PATIENCE_SECONDS)

        asyncio.run(start())

    before = threading.excepthook
    threading.excepthook = complaints.append
    try:
        await asyncio.to_thread(start_and_leave)
        [thread] = [each for each in threading.enumerate() if each.name == "outliving 1"]
        threads.close()
        go_on.set()
        await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
    finally:
        threading.excepthook = before

    assert not thread.is_alive()
    assert complaints == []


async def test_idle_thread_ends_and_another_takes_its_place() -> None:
    """A thread without work ends after its time, and the next call finds one all the same."""
    before = set(threading.enumerate())
    threads = DaemonThreads("brief", 2, idle_seconds=0.01)

    def started() -> set[threading.Thread]:
        return set(threading.enumerate()) - before

    for number in range(3):
        assert await threads.run(lambda value=number: value) == number

        async def is_over() -> bool:
            return not started()

        await wait_until(is_over, 5)
    answers = await asyncio.gather(*(threads.run(lambda: 7) for _ in range(100)))
    threads.close()

    assert answers == [7] * 100
