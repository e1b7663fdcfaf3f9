"""The move itself: what is to be done is decided first, then done in steps that may be cut short.

A batch and the place behind it are one commit. So a process that is killed loses the batch it was
in, and the next one goes on from the last place that is stored. A source that was written to in
between is moved from the beginning again. Only when both sides have been compared as a whole does
the target's mark go, and with it what keeps daemons out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Literal

import msgspec

from tirelessd.core.errors import Misconfigured
from tirelessd.store.transfer.rows import Place
from tirelessd.store.transfer.source import Contents, Source
from tirelessd.store.transfer.target import Standing, Target
from tirelessd.store.transfer.verify import Comparison, Sum


class Way(Enum):
    """What is to be done: begin, go on, begin again on what was emptied, or nothing at all."""

    BEGIN = auto()
    GO_ON = auto()
    BEGIN_AGAIN = auto()
    NOTHING = auto()


class Progress(msgspec.Struct, frozen=True):
    """How many of all items and keys are moved, or compared."""

    step: Literal["moving", "comparing"]
    done: int
    total: int


Show = Callable[[Progress], None]


class Moved(msgspec.Struct, frozen=True):
    """What a move came to; no sums when it had been finished before, at `finished_at`."""

    sums: Sequence[Sum] = ()
    finished_at: datetime | None = None


def find_way(source: Source, standing: Standing, place: str, *, is_anew: bool = False) -> Way:
    """What is to be done with a target as it stands; raises `Misconfigured` for one of another's.

    `is_anew` throws away what an unfinished move has brought.
    """
    transfer, where = standing.transfer, f"PostgreSQL at {place}"
    if transfer is None:
        if not standing.is_empty:
            raise Misconfigured(
                f"{where} holds items, keys or pauses that are not from {source.label}; give an "
                "empty database"
            )
        return Way.BEGIN
    if transfer.source != source.label:
        raise Misconfigured(
            f"{where} holds what was moved from {transfer.source}, and this is {source.label}; "
            "give an empty database"
        )
    is_same = transfer.mark == source.mark
    if transfer.finished_at is None:
        return Way.GO_ON if is_same and not is_anew else Way.BEGIN_AGAIN
    if not is_same:
        raise Misconfigured(
            f"{source.label} was written to after it had been moved to {where}, which may have "
            "been in use since; give an empty database"
        )
    return Way.NOTHING


async def move(source: Source, target: Target, show: Show, *, is_anew: bool = False) -> Moved:
    """Move everything, or the rest of it, compare both sides, and open the target to daemons.

    Cancelled or killed at any moment it may be called again. Raises `StartError` or `StoreError`,
    and `Differs` when the sides turn out not to be the same.
    """
    await target.wait_alone()
    await target.bring_up()
    standing = await target.standing()
    way = find_way(source, standing, target.place, is_anew=is_anew)
    if way is Way.NOTHING:
        assert standing.transfer is not None
        return Moved(finished_at=standing.transfer.finished_at)
    if way is Way.BEGIN_AGAIN:
        await target.empty()
    if way is not Way.GO_ON:
        await target.begin(source.label, source.mark, source.pauses())
    # A daemon that looked for the mark just before it was there is connected by now.
    await target.wait_alone()
    before = standing.transfer.place if way is Way.GO_ON and standing.transfer else Place()
    contents = source.contents()
    await _fill(source, target, before, contents, show)
    await target.analyze()
    sums = await _compare(source, target, contents, show)
    await target.finish(source.label, source.last_row)
    return Moved(sums)


async def _fill(
    source: Source, target: Target, before: Place, contents: Contents, show: Show
) -> None:
    done = source.count_until(before)
    show(Progress("moving", done, contents.total))
    for batch in source.batches(before):
        await target.put(source.label, batch, before)
        before = batch.place
        done += batch.size
        show(Progress("moving", done, contents.total))


async def _compare(source: Source, target: Target, contents: Contents, show: Show) -> Sequence[Sum]:
    comparison, done = Comparison(source, target), 0
    for batch in source.batches(Place()):
        await comparison.add(batch)
        done += batch.size
        show(Progress("comparing", done, contents.total))
    return await comparison.end()
