"""Waiting on conditions that no event announces, such as another process's; always bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 0.02


async def wait_until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Return once the condition holds; fails with `TimeoutError` after so many seconds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await a_moment()


async def a_moment(seconds: float = LOOK_SECONDS) -> None:
    """Let others work before looking again."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()
