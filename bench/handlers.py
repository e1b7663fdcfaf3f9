"""Handlers of the python queues that are measured: they do as little as a handler can."""

from __future__ import annotations

import random

from tirelessd import Context, Item

# The same failures in every run.
_SOURCE = random.Random(20261122)
_FAILING_SHARE = 0.1


class Unlucky(Exception):
    """The failure that one attempt in ten meets."""


async def do_nothing(_item: Item, _context: Context) -> None:
    """Succeed at once."""


async def fail_sometimes(_item: Item, _context: Context) -> None:
    """Fail one attempt in ten, whichever it is."""
    if _SOURCE.random() < _FAILING_SHARE:
        raise Unlucky("one in ten")
