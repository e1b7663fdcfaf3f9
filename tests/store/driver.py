"""A process with a store of its own, for tests that kill it or take its disk away.

Run as `python -m tests.store.driver DATABASE [ROUNDS]`: writes items without end, or so many times,
and prints a line for every answer once it is known: "stored ID", "full", "refused", "unknown".
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from tests.store.shelf import accepted, new_item
from tirelessd.core.clock import SystemClock
from tirelessd.core.errors import CommitUnknown, StoreFull, StoreUnavailable
from tirelessd.store.base import Store
from tirelessd.store.sqlite import SqliteStore

CALLERS = 16
PAYLOAD = bytes(8_000)


def say(line: str) -> None:
    """Tell the parent at once; nothing is lost in a buffer when this process is killed."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def call(store: Store, rounds: range | itertools.count[int]) -> None:
    """Enqueue item after item."""
    for _ in rounds:
        try:
            [answer] = await store.enqueue([new_item(payload=PAYLOAD)])
        except StoreFull:
            say("full")
        except CommitUnknown:
            say("unknown")
        except StoreUnavailable:
            say("refused")
        else:
            say(f"stored {accepted(answer).id}")


async def main(path: Path, rounds: range | itertools.count[int]) -> None:
    """Open the store, tell so, and let everybody call."""
    store = SqliteStore(path, clock=SystemClock())
    await store.open()
    say("open")
    await asyncio.gather(*[call(store, rounds) for _ in range(CALLERS)])
    await store.close()


if __name__ == "__main__":
    given = range(int(sys.argv[2])) if len(sys.argv) > 2 else itertools.count()
    asyncio.run(main(Path(sys.argv[1]), given))
