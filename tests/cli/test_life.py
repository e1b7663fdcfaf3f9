"""The daemon's loop outlasts what handlers do to it, and ends in bounded time."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable

import pytest

from tests.waiting import a_moment
from tirelessd.cli.life import live


def leave(_loop: asyncio.AbstractEventLoop) -> None:
    """What a handler's callback may come to."""
    sys.exit(0)


def interrupt(_loop: asyncio.AbstractEventLoop) -> None:
    """The same, by another name."""
    raise KeyboardInterrupt


def stop(loop: asyncio.AbstractEventLoop) -> None:
    """A library that believes to own the loop."""
    loop.stop()


@pytest.mark.parametrize("trick", [leave, interrupt, stop])
def test_loop_that_others_end_goes_on(trick: Callable[[asyncio.AbstractEventLoop], None]) -> None:
    """Neither an exit out of a callback nor a stopped loop ends the daemon; it is told of them."""
    told: list[dict[str, object]] = []

    async def life() -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        loop.call_soon(trick, loop)
        await a_moment()
        return 7

    assert live(life()) == 7
    assert [context["message"] for context in told] == [
        "a handler's code tried to end the event loop"
    ]


def test_cancelled_life_is_a_failure() -> None:
    """A daemon that something inside cancelled ends with an error that says so."""

    async def life() -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return 0

    with pytest.raises(RuntimeError, match="cancelled the daemon itself"):
        live(life())


def test_task_that_will_not_end_is_left_behind() -> None:
    """A task of a handler that ignores its cancellation does not hold up the exit."""
    strays: list[asyncio.Task[None]] = []

    async def stay() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if len(strays) > 1:
                    raise

    async def life() -> int:
        strays.append(asyncio.get_running_loop().create_task(stay()))
        await asyncio.sleep(0)
        return 3

    assert live(life()) == 3
    assert not strays[0].done()


def test_thread_that_will_not_end_is_left_behind() -> None:
    """A call that a handler made in the loop's executor does not hold up the exit."""
    started, over = asyncio.Event(), threading.Event()

    def call(loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(started.set)
        over.wait(30)

    async def life() -> int:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, call, loop)
        await started.wait()
        return 3

    code = live(life())
    over.set()

    assert code == 3
