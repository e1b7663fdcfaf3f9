"""A prediction model for stories: it does what the item says, and can be mended in between."""

from __future__ import annotations

import asyncio
import threading

from tirelessd import Context, GiveUp, Item, Retry

MENDED: set[str] = set()
FINISH = asyncio.Event()


async def predict(item: Item, context: Context) -> dict[str, str]:
    """Answer a prediction for `{"image": …, "trouble"?: …}`, or fail as told."""
    wish = item.json()
    trouble = "" if wish["image"] in MENDED else wish.get("trouble", "")
    if trouble == "once" and context.attempt == 1:
        raise ConnectionError("the model server hung up")
    if trouble == "always":
        raise ValueError("no such layer")
    if trouble == "hopeless":
        raise GiveUp("this is not an image")
    if trouble == "later":
        raise Retry("the model is loading", after_seconds=3_600)
    if trouble == "slow":
        await FINISH.wait()
    return {"image": wish["image"], "label": "cat"}


def block(item: Item, context: Context) -> None:
    """Occupy a thread for much longer than anybody waits."""
    threading.Event().wait(60)
