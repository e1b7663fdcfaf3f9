"""What `make run` serves is valid, and its handler does what it says."""

from pathlib import Path

import pytest
import structlog

from examples.words import count_words
from tirelessd import Context, GiveUp, Item
from tirelessd.settings import PythonHandlerSettings, load

EXAMPLES = Path(__file__).parents[1] / "examples"


def item(payload: bytes) -> Item:
    """An item as the handler of the queue `words` is given it."""
    return Item(
        id="0193f3a0-0000-7000-8000-000000000000",
        queue="words",
        payload=payload,
        content_type="text/plain",
        headers={},
        priority=4,
        accepted_epoch_seconds=0.0,
    )


@pytest.fixture
def context() -> Context:
    """A first attempt with time to spare."""
    return Context(attempt=1, max_attempts=3, deadline_seconds=60.0, logger=structlog.get_logger())


def test_example_configuration_shows_every_handler() -> None:
    """The file that `make run` serves loads, and has one queue of each handler type."""
    settings = load(EXAMPLES / "tirelessd.yaml")

    types = {name: queue.handler.type for name, queue in settings.queues.items()}

    assert types == {"echo": "echo", "predictions": "http", "words": "python"}


def test_example_configuration_names_the_example_handler() -> None:
    """The python queue of the example calls the function that stands beside it."""
    handler = load(EXAMPLES / "tirelessd.yaml").queues["words"].handler

    assert isinstance(handler, PythonHandlerSettings)
    assert handler.function == f"words:{count_words.__name__}"


async def test_words_are_counted(context: Context) -> None:
    """The answer has each word of the payload, in lower case, with its count."""
    counts = await count_words(item(b"to be or not To be"), context)

    assert counts == {"to": 2, "be": 2, "or": 1, "not": 1}


async def test_payload_that_is_no_text_gives_up(context: Context) -> None:
    """Bytes that are no UTF-8 will not become text by trying again."""
    with pytest.raises(GiveUp, match="not UTF-8"):
        await count_words(item(b"\xff\x00"), context)
