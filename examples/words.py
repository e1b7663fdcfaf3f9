"""A handler for a queue of type `python`: make run finds this file through the Python path."""

from collections import Counter

from tirelessd import Context, GiveUp, Item


async def count_words(item: Item, context: Context) -> dict[str, int]:
    """How often each word occurs; a payload that is no text will never be, so it gives up."""
    try:
        text = item.payload.decode()
    except UnicodeDecodeError as error:
        problem = f"the payload is not UTF-8: {error}"
        raise GiveUp(problem) from error
    counts = Counter(text.lower().split())
    context.logger.info("words counted", words=counts.total(), attempt=context.attempt)
    return counts
