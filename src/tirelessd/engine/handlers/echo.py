"""The handler that answers what it was given: for trying things and for benchmarks."""

from __future__ import annotations

from tirelessd.core.decision import Complete
from tirelessd.core.item import Context, Item


class EchoHandler:
    """Succeeds at once; the result is the payload, with its content type."""

    async def open(self) -> None:
        """Nothing to get ready."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def attempt(self, item: Item, context: Context) -> Complete:
        """Answer the payload."""
        return Complete(item.payload, item.content_type)
