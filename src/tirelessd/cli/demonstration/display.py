"""How far it is: a live line on a terminal, a line a second elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

PLAIN_SECONDS: Final = 1.0


class Standing(NamedTuple):
    """How far the items are, by the daemon's word."""

    elapsed_seconds: float
    succeeded: int
    retrying: int
    gave_up: int

    @property
    def ended(self) -> int:
        """Items that need no more attempts."""
        return self.succeeded + self.gave_up

    def __str__(self) -> str:
        return (
            f"{self.elapsed_seconds:5.1f} s   succeeded {self.succeeded:3}"
            f"   retrying {self.retrying:2}   gave up {self.gave_up}"
        )


Show = Callable[[Standing], None]


@contextmanager
def progress(console: Console, items: int) -> Iterator[Show]:
    """Give a function that shows a standing, in the way that suits the console."""
    if not console.is_terminal:
        yield _plain(console)
        return
    # Together they fit into eighty columns.
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        line = bar.add_task("", total=items)
        yield lambda standing: bar.update(line, completed=standing.ended, description=str(standing))


def _plain(console: Console) -> Show:
    next_at = 0.0

    def show(standing: Standing) -> None:
        nonlocal next_at
        if standing.elapsed_seconds >= next_at:
            console.print(str(standing))
            next_at = math.floor(standing.elapsed_seconds) + PLAIN_SECONDS

    return show
