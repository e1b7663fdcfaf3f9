"""The echo handler gives back what it gets."""

from __future__ import annotations

from tests.engine.handlers.upstream import a_context, an_item
from tirelessd.core.decision import Complete
from tirelessd.engine.handlers.base import Handler
from tirelessd.engine.handlers.echo import EchoHandler


async def test_result_is_the_payload() -> None:
    """An item succeeds with its own payload and content type."""
    handler: Handler = EchoHandler()

    await handler.open()
    complete = await handler.attempt(an_item(b"\0\xff", "image/png"), a_context())
    await handler.close()

    assert complete == Complete(b"\0\xff", "image/png")
