"""A process that moves a store in small batches, for a test that kills it.

Run as `python -m tests.store.transfer.driver FILE URL BATCH_ROWS`: prints a line for every step it
has come to, such as "moving 50 of 400", and "moved" at the end.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tirelessd.core.clock import SystemClock
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.transfer.move import Progress, move
from tirelessd.store.transfer.source import open_source
from tirelessd.store.transfer.target import open_target


def say(line: str) -> None:
    """Tell the parent at once; nothing is lost in a buffer when this process is killed."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def show(progress: Progress) -> None:
    """Tell how far it is."""
    say(f"{progress.step} {progress.done} of {progress.total}")


async def main(path: Path, url: str, batch_rows: int) -> None:
    """Move everything."""
    with open_source(path, SystemClock().monotonic, batch_rows) as source:
        async with open_target(PostgresConfig(url=url, allows_unsafe_durability=True)) as target:
            await move(source, target, show)
    say("moved")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
