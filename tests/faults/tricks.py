"""Handlers as they should not be, one for each way in which code of others goes wrong."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any, NoReturn

from tirelessd import Context, Item

HUGE_CHARACTERS = 10_000_000
BLOCK_SECONDS = 5.0


class Unprintable(Exception):
    """Its message cannot be made, and the attempt to make it would end the process."""

    def __str__(self) -> NoReturn:
        """Fail."""
        raise SystemExit(3)


class Odd:
    """An answer that is no JSON and cannot be shown."""

    def __repr__(self) -> NoReturn:
        """Fail."""
        raise KeyboardInterrupt


async def fine(_item: Item, _context: Context) -> str:
    """Do what is asked."""
    return "fine"


async def raise_plainly(_item: Item, _context: Context) -> None:
    """Fail as most do."""
    raise ValueError("no such layer")


async def raise_base(_item: Item, _context: Context) -> None:
    """Fail with what `except Exception` lets through."""
    raise BaseException("out of everything")  # noqa: TRY002  (the point of it)


async def leave(_item: Item, _context: Context) -> None:
    """End the program."""
    sys.exit(0)


async def interrupt(_item: Item, _context: Context) -> None:
    """End the program, as if from the keyboard."""
    raise KeyboardInterrupt


async def end_generator(_item: Item, _context: Context) -> None:
    """Raise what closes coroutines."""
    raise GeneratorExit


async def raise_unprintable(_item: Item, _context: Context) -> None:
    """Fail with an error that cannot be told."""
    raise Unprintable


async def raise_huge(_item: Item, _context: Context) -> None:
    """Fail with a novel."""
    raise ValueError("m" * HUGE_CHARACTERS)


async def raise_chain(_item: Item, _context: Context) -> None:
    """Fail with a long story of causes."""
    error = ValueError("the first")
    for _ in range(20_000):
        following = ValueError("because")
        following.__cause__ = error
        error = following
    raise error


async def exhaust_memory(_item: Item, _context: Context) -> None:
    """Ask for more than there is."""
    raise MemoryError


async def recurse(item: Item, context: Context) -> None:
    """Never come to the bottom."""
    await recurse(item, context)


async def cancel_itself(_item: Item, _context: Context) -> None:
    """Cancel the task it runs in, and wait for that."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()


async def answer_oddly(_item: Item, _context: Context) -> Any:
    """Answer what cannot be kept."""
    return Odd()


async def answer_itself(_item: Item, _context: Context) -> Any:
    """Answer a list that holds itself."""
    answer: list[Any] = []
    answer.append(answer)
    return answer


async def log_oddly(_item: Item, context: Context) -> None:
    """Log what cannot be shown, at length."""
    for _ in range(20):
        context.logger.info("z" * 100_000, odd=Odd())


async def leave_tasks(_item: Item, _context: Context) -> str:
    """Leave behind a task that ends the program, one that fails, and one that never ends."""
    loop = asyncio.get_running_loop()
    for each in (_leave_late(), _stay()):
        LEFT.add(loop.create_task(each))
    loop.call_soon(loop.stop)
    return "done"


async def leave_calls(_item: Item, _context: Context) -> str:
    """Leave behind calls that never end, in the loop's threads and in one of its own."""
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    threading.Thread(target=threading.Event().wait, daemon=False).start()
    return "done"


async def swallow(_item: Item, _context: Context) -> None:
    """Take no notice of being cancelled."""
    await _stay()


async def sleep_blocking(_item: Item, _context: Context) -> str:
    """Hold up the whole event loop."""
    threading.Event().wait(BLOCK_SECONDS)
    return "done"


async def die(_item: Item, _context: Context) -> None:
    """Take the process along."""
    os._exit(0)


LEFT: set[asyncio.Task[None]] = set()


async def _leave_late() -> None:
    sys.exit(0)


async def _stay() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
