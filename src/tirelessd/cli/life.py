"""The event loop that the daemon lives on: outlasts what handlers do to it, ends in bounded time.

A handler shares the process. One that raises `SystemExit` in a task of its own or stops the loop
must not end the daemon undrained; one that leaves a task or thread behind must not hold its exit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import uvloop

# What is left over when the daemon has ended is cancelled, and gets this long to take notice.
STRANGERS_SECONDS: Final = 0.5


def live(life: Coroutine[Any, Any, int]) -> int:
    """Run it to its end on a loop of its own, and give its answer.

    Tasks of others are then cancelled, and those that do not end are left behind.
    """
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    # Our own, for asyncio would wait at the end for calls that handlers have made in threads.
    executor = ThreadPoolExecutor(thread_name_prefix="tirelessd-default")
    loop.set_default_executor(executor)
    try:
        return _outlast(loop, loop.create_task(life, name="daemon"))
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        _clear_up(loop)


def _outlast(loop: asyncio.AbstractEventLoop, life: asyncio.Task[int]) -> int:
    """Go on with the loop for as long as the daemon lives, whoever else wants it to stop."""
    while not life.done():
        try:
            loop.run_until_complete(life)
        except (SystemExit, KeyboardInterrupt, RuntimeError, asyncio.CancelledError) as error:
            # Where the life has ended, its own answer counts; all else is of some callback or task.
            if not life.done():
                what = "a handler's code tried to end the event loop"
                loop.call_exception_handler({"message": what, "exception": error})
    if life.cancelled():
        raise RuntimeError("something inside cancelled the daemon itself")
    return life.result()


def _clear_up(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what others have left in the loop, and close it over those who do not mind that."""
    strangers = asyncio.all_tasks(loop)
    for stranger in strangers:
        stranger.cancel()
    if strangers:
        ending = asyncio.wait(strangers, timeout=STRANGERS_SECONDS)
        _outlast_quietly(loop, ending)
    # Nobody is left to hear of a task that was still pending.
    loop.set_exception_handler(lambda _loop, _context: None)
    asyncio.set_event_loop(None)
    loop.close()


def _outlast_quietly(loop: asyncio.AbstractEventLoop, ending: Coroutine[Any, Any, Any]) -> None:
    try:
        loop.run_until_complete(ending)
    except (SystemExit, KeyboardInterrupt, RuntimeError):
        # Its last words; the daemon's own exit code stands.
        return
