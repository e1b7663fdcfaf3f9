"""Items end to end through PostgreSQL: one daemon on a database, two on it, and an idle one.

The server runs on the same machine as daemons, load and handler: everything together has what the
bare handler has alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from bench.figures import Found, Row, Target
from bench.load import Plan
from bench.postgres import Accounts, Database, Postgres, running_postgres
from bench.processes import Daemon, running_server
from bench.run import WARM_UP_SECONDS, EndToEnd, Run
from bench.scenarios import batch, single
from bench.servers import BARE_PATH

PODS: Final = 2
QUEUES: Final = {**single.QUEUES, batch.AT_WORK: batch.make_queue()}
# Long enough for every background loop to come round.
IDLE_ROUNDS: Final = 10
CALM_SECONDS: Final = 3.0
SINGLE: Final = "single items"
BATCH: Final = "batches at 256 slots"


@dataclass
class Work:
    """Rounds of one kind of load on some daemons, and what the server did in each."""

    ends: list[EndToEnd] = field(default_factory=list)
    accounts: list[Accounts] = field(default_factory=list)

    def rates(self) -> tuple[float, ...]:
        """Items a second."""
        return tuple(each.rate for each in self.ends)

    def each(self, cost: Callable[[Accounts], float]) -> tuple[float, ...]:
        """What of the server's accounts an item took."""
        return tuple(
            cost(account) / end.items for account, end in zip(self.accounts, self.ends, strict=True)
        )


@dataclass
class Rounds:
    """What one daemon came to and what two, by the kind of load."""

    bare: list[float] = field(default_factory=list)
    alone: Mapping[str, Work] = field(default_factory=lambda: {SINGLE: Work(), BATCH: Work()})
    pods: Mapping[str, Work] = field(default_factory=lambda: {SINGLE: Work(), BATCH: Work()})


async def run_shared(run: Run) -> Found:
    """A daemon that nobody asks for anything. Then bare, one daemon, two; and again."""
    rounds = Rounds()
    with running_postgres(run.folder / "postgres") as server:
        # First: later the server still has to clean up after the others.
        idle = await _idle(run, server)
        async with running_server("bare") as bare, AsyncExitStack() as stack:
            database = await server.make_database("alone")
            shared = await server.make_database("shared")
            alone = [await _start(stack, run, "alone", database)]
            pods = [await _start(stack, run, f"pod-{number}", shared) for number in range(PODS)]
            for daemons, its in ((alone, database), (pods, shared)):
                await _work(run, its, daemons, SINGLE, WARM_UP_SECONDS)
            for number in range(run.rounds):
                plan = single.make_plan(bare.port, BARE_PATH, run.seconds)
                rounds.bare.append((await run.accept(plan)).rate)
                for kind in (SINGLE, BATCH):
                    for daemons, its, works in (
                        (alone, database, rounds.alone),
                        (pods, shared, rounds.pods),
                    ):
                        end, account = await _work(run, its, daemons, kind, run.seconds)
                        works[kind].ends.append(end)
                        works[kind].accounts.append(account)
                _tell(run, number, rounds)
        counted = await _count(run, server)
    return Found((*_rate_rows(rounds), *_cost_rows(rounds), *counted, *idle))


async def _start(stack: AsyncExitStack, run: Run, name: str, database: Database) -> Daemon:
    return await stack.enter_async_context(run.daemon(name, QUEUES, store=database.url))


async def _work(
    run: Run, database: Database, daemons: Sequence[Daemon], kind: str, seconds: float
) -> tuple[EndToEnd, Accounts]:
    """A round on all of these daemons at once, and what the server did in it."""
    before = await database.accounts()
    plans = [_plan(daemon, kind, seconds, len(daemons)) for daemon in daemons]
    queue, items_each = (single.QUEUE, 1) if kind is SINGLE else (batch.AT_WORK, batch.LINES)
    ended = await run.end_to_end_among(daemons, queue, plans, items_each)
    return ended, (await database.accounts()).since(before)


def _plan(daemon: Daemon, kind: str, seconds: float, daemons: int) -> Plan:
    """A daemon's share of the connections, or of the batches."""
    if kind is SINGLE:
        connections = single.CONNECTIONS // daemons
        return single.make_plan(daemon.port, single.PATH, seconds, connections=connections)
    batches = batch.BATCHES // daemons
    return batch.make_plan(
        daemon.port, batch.AT_WORK, seconds, batches, batch.CONNECTIONS // daemons
    )


def _tell(run: Run, number: int, rounds: Rounds) -> None:
    told = "; ".join(
        f"{kind}: one daemon {rounds.alone[kind].ends[-1].rate:,.0f}/s,"
        f" two {rounds.pods[kind].ends[-1].rate:,.0f}/s"
        for kind in (SINGLE, BATCH)
    )
    run.say(f"  round {number + 1}: bare {rounds.bare[-1]:,.0f}/s; {told}")


def _rate_rows(rounds: Rounds) -> list[Row]:
    bare = tuple(rounds.bare)
    rows = [
        Row(
            scenario="shared",
            what=f"{kind} end to end on PostgreSQL, {who}",
            unit="/s",
            rounds=works[kind].rates(),
            bare_rounds=bare,
            target=Target(least=0.20, is_ratio=True),
        )
        for kind in (SINGLE, BATCH)
        for who, works in (("one daemon", rounds.alone), ("two daemons", rounds.pods))
    ]
    rows += [
        Row(
            scenario="shared",
            what=f"{kind} end to end on PostgreSQL, two daemons beside one",
            unit="/s",
            rounds=rounds.pods[kind].rates(),
            bare_rounds=rounds.alone[kind].rates(),
        )
        for kind in (SINGLE, BATCH)
    ]
    seen = [end.seen for end in rounds.alone[SINGLE].ends]
    latencies: list[tuple[str, tuple[float, ...]]] = [
        ("p50", tuple(each.p50_seconds * 1e3 for each in seen)),
        ("p99", tuple(each.p99_seconds * 1e3 for each in seen)),
    ]
    return rows + [
        Row(
            scenario="shared", what=f"intake {name} on PostgreSQL, one daemon", unit="ms", rounds=ms
        )
        for name, ms in latencies
    ]


def _cost_rows(rounds: Rounds) -> list[Row]:
    """What an item takes of the daemon, of the server, and of the server's log."""
    return [
        row
        for kind in (SINGLE, BATCH)
        for work in (rounds.alone[kind],)
        for row in (
            Row(
                scenario="shared",
                what=f"{kind}, processor time an item, daemon",
                unit="µs",
                rounds=tuple(end.cpu_seconds / end.items * 1e6 for end in work.ends),
            ),
            Row(
                scenario="shared",
                what=f"{kind}, processor time an item, PostgreSQL",
                unit="µs",
                rounds=work.each(lambda account: account.cpu_seconds * 1e6),
            ),
            Row(
                scenario="shared",
                what=f"{kind}, write-ahead log an item",
                unit="KiB",
                rounds=work.each(lambda account: account.wal_bytes / 1024),
            ),
            Row(
                scenario="shared",
                what=f"{kind}, transactions an item",
                unit="x",
                rounds=work.each(lambda account: float(account.transactions)),
            ),
        )
    ]


async def _count(run: Run, server: Postgres) -> list[Row]:
    """Statements an item, in a database of its own: to count them takes time."""
    database = await server.make_database("counted")
    await database.count_statements()
    rows = []
    async with AsyncExitStack() as stack:
        daemon = await _start(stack, run, "counted", database)
        for kind in (SINGLE, BATCH):
            await _work(run, database, [daemon], kind, WARM_UP_SECONDS)
            end, account = await _work(run, database, [daemon], kind, run.seconds)
            rows.append(
                Row(
                    scenario="shared",
                    what=f"{kind}, statements an item",
                    unit="x",
                    rounds=(account.statements / end.items,),
                )
            )
    return rows


async def _idle(run: Run, server: Postgres) -> list[Row]:
    """What a database has to do for a daemon with two queues and no items."""
    database = await server.make_database("idle")
    await database.count_statements()
    seconds = IDLE_ROUNDS * run.seconds
    async with AsyncExitStack() as stack:
        daemon = await _start(stack, run, "idle", database)
        await asyncio.sleep(CALM_SECONDS)
        before, begins_at, used = await database.accounts(), run.clock.monotonic(), _used(daemon)
        await asyncio.sleep(seconds)
        done, lasted = (await database.accounts()).since(before), run.clock.monotonic() - begins_at
        share = (_used(daemon) - used) / lasted
    figures: Mapping[str, tuple[Any, float]] = {
        "statements of an idle daemon on PostgreSQL": ("/s", done.statements / lasted),
        "transactions of an idle daemon on PostgreSQL": ("/s", done.transactions / lasted),
        "processor idle, PostgreSQL": ("%", done.cpu_seconds / lasted * 100),
        "processor idle, daemon on PostgreSQL": ("%", share * 100),
    }
    return [
        Row(scenario="shared", what=f"{what}, over {seconds:g} s", unit=unit, rounds=(figure,))
        for what, (unit, figure) in figures.items()
    ]


def _used(daemon: Daemon) -> float:
    return daemon.cpu_seconds()
