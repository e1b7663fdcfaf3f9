"""Handlers that misbehave on demand, for daemons that are watched."""

from __future__ import annotations

import asyncio
import os
import threading

from tests.waiting import a_moment
from tirelessd import Context, GiveUp, Item, Retry

BLOCK_SECONDS = 0.5


async def obey(item: Item, _context: Context) -> str:
    """Do what the payload's first word says."""
    word = item.payload.partition(b":")[0].strip(b'"')
    if word == b"fail":
        raise Retry("not now")
    if word == b"bad":
        raise GiveUp("never")
    if word == b"slow":
        await a_moment(1)
    return "done"


async def deaf(_item: Item, _context: Context) -> str:
    """Neither end nor take notice of being cancelled, until the file named by GATE is there."""
    while not os.path.exists(os.environ["GATE"]):  # noqa: ASYNC240, PTH110
        try:
            await a_moment(0.1)
        except asyncio.CancelledError:
            continue
    return "done"


async def block(_item: Item, _context: Context) -> str:
    """Hold up the whole event loop for a while."""
    threading.Event().wait(BLOCK_SECONDS)
    return "done"


async def die(_item: Item, _context: Context) -> None:
    """Take the process along."""
    os._exit(1)
