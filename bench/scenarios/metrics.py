"""What counting costs: a daemon under load, whose metrics see what happens in some moments only.

Single items, and batches on 256 slots, where an item costs least and counting weighs most. Events
are counted never, once, and eight times. From once alone little can be told, for what else the
machine does moves a rate by more than counting does; an eighth of eight times is told from noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bench.figures import Found, Row, Target
from bench.run import WARM_UP_SECONDS, EndToEnd, Run
from bench.scenarios import batch, single
from bench.switched import NEVER, OFTEN, ONCE, SLICES, Slice

SWITCHED: Final = "bench.switched"
QUEUES: Final = {**single.QUEUES, batch.AT_WORK: batch.make_queue()}
# A difference of some per cent needs more of them than one of some times.
TIMES: Final = 2
MOST_PER_CENT: Final = 3.0


@dataclass(frozen=True)
class Side:
    """What the slices of one kind come to, in one round."""

    slices: Sequence[Slice]
    events_an_item: float

    @property
    def rate(self) -> float:
        """Items a second."""
        return self._items / sum(each.seconds for each in self.slices)

    @property
    def cost(self) -> float:
        """Processor time of an item, in microseconds."""
        return sum(each.cpu_seconds for each in self.slices) / self._items * 1e6

    @property
    def _items(self) -> float:
        return sum(each.events for each in self.slices) / self.events_an_item


@dataclass
class Rounds:
    """The stretches in which there was load, and what the slices in them came to."""

    stretches: list[tuple[float, float]] = field(default_factory=list)
    sides: dict[int, list[Side]] = field(default_factory=dict)

    def add(self, seen: EndToEnd) -> None:
        """There was load until the last item ended."""
        began_at = seen.seen.started_at
        self.stretches.append((began_at, began_at + seen.items / seen.rate))

    def divide(self, slices: Sequence[Slice]) -> None:
        """Tell slices that were under load all the time by round and by kind."""
        self.sides = {times: [] for times in (NEVER, ONCE, OFTEN)}
        for stretch in self.stretches:
            loaded = [*within(slices, *stretch)]
            events_an_item = sum(each.events for each in loaded) / sum(
                each.items for each in loaded
            )
            for times, sides in self.sides.items():
                sides.append(Side([each for each in loaded if each.times == times], events_an_item))

    @property
    def shares(self) -> tuple[float, ...]:
        """How many per cent of the throughput it takes to count each event once, by round."""
        return tuple(
            share_of_one(often.rate, never.rate)
            for often, never in zip(self.sides[OFTEN], self.sides[NEVER], strict=True)
        )


def share_of_one(rate: float, uncounted_rate: float) -> float:
    """Of the throughput with counters, by the rates with many of them and with none; in per cent.

    An item's time grows by the same for each counter.
    """
    cost = (uncounted_rate / rate - 1) / OFTEN
    return cost / (1 + cost) * 100


def within(slices: Iterable[Slice], began_at: float, ended_at: float) -> Iterable[Slice]:
    """Those that began and ended in a stretch."""
    return (
        each
        for each in slices
        if began_at <= each.began_at and each.began_at + each.seconds <= ended_at
    )


async def run_metrics(run: Run) -> Found:
    """One process in all rounds, and from slice to slice with counters and without."""
    singles, batches = Rounds(), Rounds()
    async with run.daemon("switched", QUEUES, SWITCHED) as daemon:
        plan = single.make_plan(daemon.port, single.PATH, WARM_UP_SECONDS)
        await run.end_to_end(daemon, single.QUEUE, plan)
        for number in range(TIMES * run.rounds):
            plan = single.make_plan(daemon.port, single.PATH, run.seconds)
            singles.add(await run.end_to_end(daemon, single.QUEUE, plan))
            plan = batch.make_plan(daemon.port, batch.AT_WORK, run.seconds)
            batches.add(await run.end_to_end(daemon, batch.AT_WORK, plan, batch.LINES))
            run.say(f"  round {number + 1}")
    written = (run.folder / "switched" / SLICES).read_bytes()
    slices = msgspec.json.decode(written, type=list[Slice])
    for rounds in (singles, batches):
        rounds.divide(slices)
    return Found(
        (
            *_rows("single items", singles),
            *_rows("batches at 256 slots", batches),
        )
    )


def _rows(what: str, rounds: Rounds) -> tuple[Row, ...]:
    once, never = rounds.sides[ONCE], rounds.sides[NEVER]
    return (
        Row(
            scenario="metrics",
            what=f"{what}, throughput that counting takes",
            unit="%",
            rounds=rounds.shares,
            target=Target(most=MOST_PER_CENT),
        ),
        Row(
            scenario="metrics",
            what=f"{what} end to end, counted once beside uncounted",
            unit="/s",
            rounds=tuple(side.rate for side in once),
            bare_rounds=tuple(side.rate for side in never),
        ),
        Row(
            scenario="metrics",
            what=f"{what}, processor time an item, counted once beside uncounted",
            unit="µs",
            rounds=tuple(side.cost for side in once),
            bare_rounds=tuple(side.cost for side in never),
        ),
    )
