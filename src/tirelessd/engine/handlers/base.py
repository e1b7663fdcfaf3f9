"""What the engine asks of a handler."""

from __future__ import annotations

from typing import Protocol

from tirelessd.core.decision import Complete
from tirelessd.core.item import Context, Item


class Handler(Protocol):
    """Attempts items, many at once.

    `ends_on_cancel` promises that a cancelled attempt ends at once, so that it may run in the
    slot's own task; others run in a task of their own that a slot can leave behind.
    """

    ends_on_cancel: bool

    async def open(self) -> None:
        """Get ready; raises `StartError` when the handler can never work."""
        ...

    async def close(self) -> None:
        """Let go of everything; called after the last attempt."""
        ...

    async def attempt(self, item: Item, context: Context) -> Complete:
        """Try the item once. Any exception is a failure; `AttemptError` tells its reason.

        The engine bounds the time. The call ends only when its work, threads included, has ended.
        """
        ...
