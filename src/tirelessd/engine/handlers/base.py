"""What the engine asks of a handler."""

from __future__ import annotations

from typing import Protocol

from tirelessd.core.decision import Complete
from tirelessd.core.item import Context, Item


class Handler(Protocol):
    """Attempts items, many at once."""

    async def open(self) -> None:
        """Get ready; raises `StartError`, which is `Misconfigured` when it can never work."""
        ...

    async def close(self) -> None:
        """Let go of everything; called after the last attempt."""
        ...

    async def attempt(self, item: Item, context: Context) -> Complete:
        """Try the item once. An `Exception` is a failure; `AttemptError` tells its reason.

        The engine runs the call in a task of its own, bounds the time, and cancels it when that is
        up. The call ends only when its work, threads included, has ended. It raises nothing that
        would end the event loop, whatever the code behind it does.
        """
        ...
