"""What nobody catches is told as an event, in the event loop's thread."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator

import pytest

from tests.recorder import Recorder
from tirelessd.core.events import Event, UnexpectedError
from tirelessd.observe.unhandled import UnhandledErrors


class ThreadRecorder(Recorder):
    """Keeps the thread of each event too."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[threading.Thread] = []

    def __call__(self, event: Event) -> None:
        """Keep both."""
        self.threads.append(threading.current_thread())
        super().__call__(event)


@pytest.fixture
def recorder() -> ThreadRecorder:
    """Who is told."""
    return ThreadRecorder()


@pytest.fixture
async def unhandled(recorder: ThreadRecorder) -> AsyncIterator[UnhandledErrors]:
    """The hooks, installed in the test's loop."""
    unhandled = UnhandledErrors(recorder)
    unhandled.install(asyncio.get_running_loop())
    yield unhandled
    unhandled.uninstall()


async def boom() -> None:
    """Fail as nobody expects."""
    raise RuntimeError("odd")


@pytest.mark.usefixtures("unhandled")
async def test_a_task_that_nobody_waited_for_is_told(recorder: ThreadRecorder) -> None:
    """asyncio would print "Task exception was never retrieved"."""
    task = asyncio.get_running_loop().create_task(boom(), name="lost one")
    await asyncio.wait({task})

    del task
    gc.collect()

    (event,) = await recorder.wait_for(UnexpectedError)
    assert event.where == "Task exception was never retrieved (lost one)"
    assert str(event.error) == "odd"


@pytest.mark.usefixtures("unhandled")
async def test_a_message_without_an_error_is_told(recorder: ThreadRecorder) -> None:
    """asyncio sometimes has nothing but a sentence."""
    asyncio.get_running_loop().call_exception_handler({"message": "something\nis odd"})

    (event,) = recorder.of(UnexpectedError)
    assert event.where == str(event.error) == "something\\nis odd"


@pytest.mark.usefixtures("unhandled")
async def test_a_thread_that_dies_is_told_in_the_loop_s_thread(recorder: ThreadRecorder) -> None:
    """Observers need no locks: they are called in one thread alone."""

    def die() -> None:
        raise RuntimeError("odd")

    thread = threading.Thread(target=die, name="worker")
    thread.start()

    (event,) = await recorder.wait_for(UnexpectedError)
    assert event.where == "thread worker"
    assert recorder.threads == [threading.current_thread()]


class Grudge:
    """An object that does not want to go."""

    def __del__(self) -> None:
        raise RuntimeError("odd")


@pytest.mark.usefixtures("unhandled")
async def test_a_finalizer_that_raises_is_told(recorder: ThreadRecorder) -> None:
    """Python prints it and goes on; here it is counted."""
    Grudge()

    (event,) = await recorder.wait_for(UnexpectedError)
    assert str(event.error) == "odd"


async def test_uninstalled_hooks_are_those_from_before(recorder: ThreadRecorder) -> None:
    """A program that embeds the daemon gets its hooks back."""
    unhandled = UnhandledErrors(recorder)
    before = (threading.excepthook, sys.unraisablehook)
    unhandled.install(asyncio.get_running_loop())

    unhandled.uninstall()

    assert (threading.excepthook, sys.unraisablehook) == before
    assert asyncio.get_running_loop().get_exception_handler() is None
