"""The daemon, whose counters are turned off, on, and manifold in turns: `serve` and its options.

Two processes of one program differ by five per cent in what an item costs, by where things happen
to lie in memory, and one process by more than that from second to second, by what else the machine
has to do. So one process is compared with itself, in slices that are short beside all that; and
what is to be measured is also made larger, by further counters that see what happens and that
nobody reads. What the slices came to is written beside the configuration when it ends. All else is
as it is shipped.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final
from unittest.mock import patch

import msgspec

import tirelessd.daemon
from bench.usage import own_cpu_seconds
from tirelessd.core.clock import Clock, SystemClock
from tirelessd.core.events import Emit, Event, ItemSucceeded
from tirelessd.daemon import Daemon
from tirelessd.observe.dispatch import Table, fan_out
from tirelessd.observe.metrics import Metrics

SLICES: Final = "slices.json"
SLICE_SECONDS: Final = 0.1
# So many times each event is counted, in turns.
NEVER, ONCE, OFTEN = 0, 1, 8


class Slice(msgspec.Struct, frozen=True):
    """A moment of a daemon's life: so many events were told in it, and so many items ended well.

    Each event was counted so many `times`. `began_at` is in epoch seconds. Every item has the same
    events all along its way, so they are the measure of what was done in a moment that may be
    shorter than the way of an item.
    """

    times: int
    began_at: float
    seconds: float
    cpu_seconds: float
    events: int
    items: int


class Switch:
    """An `emit` whose observers take turns."""

    def __init__(self, clock: Clock) -> None:
        self.slices: list[Slice] = []
        self.further: list[Metrics] = []
        self._clock = clock
        self._events = self._items = 0
        self._emits: dict[int, Emit] = {}
        self._emit: Emit
        # In no order, or it could be that of the commits.
        self._source = Random(0)

    def fan_out(self, tables: Sequence[Table]) -> Emit:
        """As the daemon's own; the first table is that of the metrics."""
        metrics, *others = tables
        others.append({ItemSucceeded: self._see_end})
        manifold = [metrics, *(each.table for each in self.further)]
        self._emits = {
            times: fan_out([*manifold[:times], *others]) for times in (NEVER, ONCE, OFTEN)
        }
        self._emit = self._emits[ONCE]

        def emit(event: Event) -> None:
            self._events += 1
            self._emit(event)

        return emit

    def _see_end(self, _event: ItemSucceeded) -> None:
        self._items += 1

    async def alternate(self) -> None:
        """One slice after the other."""
        turns = [*self._emits]
        while True:
            self._source.shuffle(turns)
            for times in turns:
                self._emit = self._emits[times]
                self.slices.append(await self._slice(times))

    async def _slice(self, times: int) -> Slice:
        self._events = self._items = 0
        began_at, cpu_seconds = self._clock.wall(), own_cpu_seconds()
        begun = self._clock.monotonic()
        await asyncio.sleep(SLICE_SECONDS)
        return Slice(
            times,
            began_at,
            self._clock.monotonic() - begun,
            own_cpu_seconds() - cpu_seconds,
            self._events,
            self._items,
        )


class SwitchedDaemon(Daemon):
    """A daemon that counts now and then; the configuration is the last argument."""

    switch: Switch

    def _make_metrics(self, clock: Clock) -> Metrics:
        make = super()._make_metrics
        self.switch.further = [make(clock) for _ in range(OFTEN - ONCE)]
        return make(clock)

    async def run(self) -> int:
        """Alternate until the end, and write what was seen."""
        async with asyncio.TaskGroup() as group:
            alternating = group.create_task(self.switch.alternate())
            code = await super().run()
            alternating.cancel()
        seen = msgspec.json.encode(self.switch.slices)
        Path(sys.argv[-1]).with_name(SLICES).write_bytes(seen)
        return code


if __name__ == "__main__":
    from tirelessd.cli.begin import main

    SwitchedDaemon.switch = Switch(SystemClock())
    with (
        patch.object(tirelessd.daemon, "fan_out", SwitchedDaemon.switch.fan_out),
        patch.object(tirelessd.daemon, "Daemon", SwitchedDaemon),
    ):
        main()
