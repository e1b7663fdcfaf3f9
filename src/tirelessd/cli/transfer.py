"""`migrate-store`: what it is told, what it shows, and what it says at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from tirelessd.core.clock import Clock, SystemClock
from tirelessd.core.errors import Misconfigured, StoreError, StoreUnavailable
from tirelessd.settings.kinds import POSTGRES_SCHEMES, shown_store, sqlite_path, store_url
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.transfer.move import Moved, Progress, Show, Way, find_way, move
from tirelessd.store.transfer.source import Source, open_source
from tirelessd.store.transfer.target import Standing, Target, open_target

# Without a terminal a line stands for so long.
PLAIN_SECONDS: Final = 5.0
WAYS: Final = {
    Way.BEGIN: "everything would be moved",
    Way.GO_ON: "a move was cut short: the rest would be moved",
    Way.BEGIN_AGAIN: "a move was cut short, and would begin again",
    Way.NOTHING: "everything has been moved",
}


class Order(msgspec.Struct, frozen=True):
    """What was asked for; the URLs as they were given."""

    source: str
    target: str
    is_dry_run: bool = False
    is_anew: bool = False
    allows_unsafe_durability: bool = False

    def ends(self) -> tuple[Path, PostgresConfig]:
        """Both ends; raises `Misconfigured` for any other pair than there is a way between."""
        for option, url in (("--from", self.source), ("--to", self.target)):
            try:
                store_url(url)
            except ValueError as error:
                raise Misconfigured(f"{option}: {error}") from None
        is_shared = [url.startswith(POSTGRES_SCHEMES) for url in (self.source, self.target)]
        if is_shared != [False, True]:
            raise Misconfigured(
                f"--from {shown_store(self.source)} --to {shown_store(self.target)}: there is one "
                "way only, --from sqlite:///path --to postgresql://user@host/database"
            )
        config = PostgresConfig(
            url=self.target, allows_unsafe_durability=self.allows_unsafe_durability
        )
        return sqlite_path(self.source), config


def carry_out(order: Order) -> int:
    """Move, or look; 0 when all is well. Raises `StartError` and `StoreError`."""
    console = Console(highlight=False, soft_wrap=True)
    path, config = order.ends()
    clock = SystemClock()
    with open_source(path, clock.monotonic) as source:
        tell_source(console, source, clock)
        return asyncio.run(_at_target(console, order, config, source, clock))


async def _at_target(
    console: Console, order: Order, config: PostgresConfig, source: Source, clock: Clock
) -> int:
    async with open_target(config) as target:
        if order.is_dry_run:
            await _look(console, order, source, target)
            return 0
        started_at = clock.monotonic()
        try:
            with progress(console, clock.monotonic) as show:
                moved = await move(source, target, show, is_anew=order.is_anew)
        except StoreError as error:
            raise StoreUnavailable(
                f"{error}; run the same again, it goes on where it stopped", error.kind
            ) from error
    tell_end(console, source, config, moved, clock.monotonic() - started_at)
    return 0


async def _look(console: Console, order: Order, source: Source, target: Target) -> None:
    await target.wait_alone()
    standing = await target.standing()
    way = find_way(source, standing, target.place, is_anew=order.is_anew)
    console.print(f"to    PostgreSQL at {target.place}: {in_words(standing, source)}")
    console.print(f"{WAYS[way]}; nothing was changed")


def in_words(standing: Standing, source: Source) -> str:
    """What a target is like before the move."""
    if standing.transfer is not None:
        done = source.count_until(standing.transfer.place)
        return f"{done} items and keys of {standing.transfer.source} are there"
    return "empty" if standing.schema.version else "empty, its tables are still to be made"


def tell_source(console: Console, source: Source, clock: Clock) -> None:
    """Say what there is to be moved."""
    contents = source.contents()
    states = ", ".join(f"{count} {state}" for state, count in sorted(contents.states.items()))
    items = f"{contents.items} items" + (f" ({states})" if states else "")
    console.print(
        f"from  {source.label}: {items}, {contents.keys} idempotency keys, {contents.pauses} pauses"
    )
    ahead_seconds = source.left_at - clock.wall()
    if ahead_seconds > 1:
        console.print(
            f"note  its time was {ahead_seconds:.0f} s ahead of this host's clock: what is due or "
            "kept until a moment there waits so much longer"
        )


def tell_end(
    console: Console, source: Source, config: PostgresConfig, moved: Moved, seconds: float
) -> None:
    """Say what was moved, table by table, with the checksums that both sides have."""
    if moved.finished_at is not None:
        console.print(
            f"{source.label} was moved to {config.place} at {moved.finished_at:%Y-%m-%d %H:%M:%S} "
            "UTC, and has not been written to since; nothing to do"
        )
        return
    for each in moved.sums:
        console.print(f"{each.table:<17}{each.rows:>10} rows  sha256 {each.sha256}")
    console.print(
        f"moved and compared in {seconds:.1f} s, the same on both sides. Give the daemon this "
        "store now, and do not start one on the old file again"
    )


@contextmanager
def progress(console: Console, monotonic: Callable[[], float]) -> Iterator[Show]:
    """Give a function that shows how far it is, in the way that suits the console."""
    if not console.is_terminal:
        yield _plain(console, monotonic)
        return
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        lines = {step: bar.add_task(step, total=None) for step in ("moving", "comparing")}

        def show(now: Progress) -> None:
            for line in lines.values():
                bar.update(line, total=now.total)
            bar.update(lines[now.step], completed=now.done)

        yield show


def _plain(console: Console, monotonic: Callable[[], float]) -> Show:
    next_at = monotonic() + PLAIN_SECONDS

    def show(now: Progress) -> None:
        nonlocal next_at
        is_over = now.done == now.total
        if is_over or monotonic() >= next_at:
            next_at = monotonic() + PLAIN_SECONDS
            console.print(f"{now.step} {now.done} of {now.total}")

    return show
