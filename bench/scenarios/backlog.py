"""Backlogs of a thousand to a million: what a claim, a settle and a start cost beside them.

Claims and settles are measured at the store, through its contract, 64 to a call: through the
daemon a scheduled item's claim would be lost among everything else. The stores of all sizes take
turns, so that whatever the disk does meanwhile happens to all of them alike.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, Literal

import uuid_utils

from bench.figures import Curve, Found, Row, Target, Unit
from bench.processes import DATABASE, running_daemon
from bench.run import Run
from bench.scenarios.single import PAYLOAD
from tirelessd.core.clock import Clock
from tirelessd.core.decision import Complete, Settlement
from tirelessd.core.item import Claim, NewItem
from tirelessd.store.base import Store
from tirelessd.store.sqlite import SqliteStore

QUEUE: Final = "backlog"
QUEUES: Final = {
    QUEUE: {
        "handler": {"type": "python", "function": "bench.handlers:do_nothing"},
        "slots": 64,
        "capacity_items": 10_000_000,
    }
}
Kind = Literal["ready", "scheduled", "mixed"]
KINDS: Final[tuple[Kind, ...]] = ("ready", "scheduled", "mixed")
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
# What a pool of 64 slots claims at once.
CLAIMED: Final = 64
TURNS: Final = 50
SLICE: Final = 1_000
MEBIBYTE: Final = 2**20
LEASE_SECONDS: Final = 30.0
DAY_SECONDS: Final = 86_400.0
# How long a daemon works beside a backlog before its memory is read.
WORK_SECONDS: Final = 2.0


@dataclass
class Costs:
    """What was measured beside one backlog; claims and settles in µs an item, one per turn."""

    claims: list[float] = field(default_factory=list)
    settles: list[float] = field(default_factory=list)
    start_seconds: float = 0.0
    peak_bytes: int = 0


def make_backlog(kind: Kind, number: int) -> NewItem:
    """One item of a backlog; a mixed one has ten priorities, and every third is not due yet."""
    is_later = kind == "scheduled" or (kind == "mixed" and number % 3 == 0)
    return make_item(kind, number, is_later=is_later)


def make_item(kind: Kind, number: int, *, is_later: bool) -> NewItem:
    """One item, due now or only in half a day."""
    return NewItem(
        id=str(uuid_utils.uuid7()),
        queue=QUEUE,
        payload=PAYLOAD,
        content_type="application/json",
        deadline_seconds=DAY_SECONDS,
        priority=number % 10 if kind == "mixed" else 4,
        delay_seconds=DAY_SECONDS / 2 + number % 3_600 if is_later else 0.0,
    )


async def run_backlog(run: Run) -> Found:
    """Each kind of backlog: made in every size, claimed from in turns, then started upon."""
    rows: list[Row] = []
    lines: list[Curve] = []
    for kind in KINDS:
        costs = {size: Costs() for size in SIZES if size <= run.largest}
        await _measure_stores(run, kind, costs)
        for size in {min(costs), max(costs)}:
            await _measure_start(run, kind, size, costs[size])
        for size, cost in costs.items():
            shutil.rmtree(_folder(run, kind, size))
            claim, settle = median(cost.claims), median(cost.settles)
            run.say(f"  {kind} {size:,}: claim {claim:.1f} µs, settle {settle:.1f} µs")
        rows += [*store_rows(kind, costs), *_start_rows(kind, costs)]
        lines += curves(kind, costs)
    return Found(tuple(rows), tuple(lines))


def _folder(run: Run, kind: Kind, size: int) -> Path:
    return run.folder / f"backlog-{kind}-{size}"


async def _measure_stores(run: Run, kind: Kind, costs: Mapping[int, Costs]) -> None:
    """Claims and settles beside every size, the sizes in turns."""
    async with AsyncExitStack() as stack:
        stores = {}
        for size in costs:
            folder = _folder(run, kind, size)
            folder.mkdir(parents=True)
            stores[size] = SqliteStore(folder / DATABASE, clock=run.clock)
            await stores[size].open()
            stack.push_async_callback(stores[size].close)
            await fill(stores[size], kind, size)
        for _ in range(TURNS):
            for size, store in stores.items():
                await measure_turn(store, kind, run.clock, costs[size])


async def fill(store: Store, kind: Kind, size: int) -> None:
    """Make a backlog, in slices of a thousand."""
    for begin in range(0, size, SLICE):
        numbers = range(begin, begin + SLICE)
        await store.enqueue([make_backlog(kind, number) for number in numbers])


async def measure_turn(store: Store, kind: Kind, clock: Clock, costs: Costs) -> None:
    """One claim and its settles, the backlog filled up again before."""
    await store.enqueue([make_item(kind, number, is_later=False) for number in range(CLAIMED)])
    before = clock.monotonic()
    claimed = await store.claim(QUEUE, CLAIMED, LEASE_SECONDS)
    between = clock.monotonic()
    await store.settle([_settlement(claim) for claim in claimed.claims])
    after = clock.monotonic()
    assert len(claimed.claims) == CLAIMED
    costs.claims.append((between - before) / CLAIMED * 1e6)
    costs.settles.append((after - between) / CLAIMED * 1e6)


def _settlement(claim: Claim) -> Settlement:
    return Settlement(claim.lease, Complete(), claim.generation, claim.attempt)


async def _measure_start(run: Run, kind: Kind, size: int, costs: Costs) -> None:
    """A daemon that starts on the backlog and works it off for a moment."""
    async with running_daemon(_folder(run, kind, size), QUEUES, run.clock) as daemon:
        await asyncio.sleep(WORK_SECONDS)
        costs.start_seconds = daemon.start_seconds
        costs.peak_bytes = daemon.peak_memory_bytes()


def store_rows(
    kind: Kind, costs: Mapping[int, Costs], scenario: str = "backlog", place: str = ""
) -> list[Row]:
    """The largest backlog, its claims and settles beside those of the smallest."""
    small, large = costs[min(costs)], costs[max(costs)]
    return [
        Row(
            scenario=scenario,
            what=f"{what}{place} {_beside(kind, costs)}",
            unit="µs",
            rounds=tuple(figures),
            bare_rounds=tuple(beside),
            target=Target(most=1.3, is_ratio=True),
        )
        for what, figures, beside in (
            ("claim an item", large.claims, small.claims),
            ("settle an item", large.settles, small.settles),
        )
    ]


def _beside(kind: Kind, costs: Mapping[int, Costs]) -> str:
    return f"with {max(costs):,} {kind}, beside {min(costs):,}"


def _start_rows(kind: Kind, costs: Mapping[int, Costs]) -> list[Row]:
    """A daemon on the largest backlog beside one on the smallest."""
    small, large = costs[min(costs)], costs[max(costs)]

    def row(what: str, unit: Unit, figure: float, beside: float, most: float) -> Row:
        return Row(
            scenario="backlog",
            what=f"{what} {_beside(kind, costs)}",
            unit=unit,
            rounds=(figure,),
            bare_rounds=(beside,),
            target=Target(most=most),
        )

    memory = large.peak_bytes / MEBIBYTE, small.peak_bytes / MEBIBYTE
    return [
        row("start until ready", "s", large.start_seconds, small.start_seconds, 2.0),
        row("peak memory", "MiB", *memory, 150.0),
    ]


def curves(kind: Kind, costs: Mapping[int, Costs], place: str = "") -> list[Curve]:
    """What a claim and a settle cost, over the sizes."""
    return [
        Curve(
            what=f"claim, {kind}{place}",
            unit="µs",
            points=tuple((size, median(cost.claims)) for size, cost in costs.items()),
        ),
        Curve(
            what=f"settle, {kind}{place}",
            unit="µs",
            points=tuple((size, median(cost.settles)) for size, cost in costs.items()),
        ),
    ]
