"""Backlogs of a thousand to a million on PostgreSQL: what a claim and a settle cost beside them.

At the store, 64 items to a call, as for the embedded one. Every size has a database of its own on
one server, and they take turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from statistics import median

from bench.figures import Curve, Found, Row
from bench.postgres import Postgres, running_postgres
from bench.run import Run
from bench.scenarios.backlog import (
    KINDS,
    SIZES,
    TURNS,
    Costs,
    Kind,
    curves,
    fill,
    measure_turn,
    store_rows,
)
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.postgres.pools import PostgresPools
from tirelessd.store.postgres.store import PostgresStore

PLACE = " on PostgreSQL"


async def run_shared_backlog(run: Run) -> Found:
    """Each kind of backlog: made in every size, then claimed from in turns."""
    rows: list[Row] = []
    lines: list[Curve] = []
    for kind in KINDS:
        costs = {size: Costs() for size in SIZES if size <= run.largest}
        # A server for each kind: what the last one left to clean up would be in the figures.
        with running_postgres(run.folder / f"backlog-{kind}") as server:
            await _measure(run, server, kind, costs)
        for size, cost in costs.items():
            claim, settle = median(cost.claims), median(cost.settles)
            run.say(f"  {kind} {size:,}: claim {claim:.1f} µs, settle {settle:.1f} µs")
        rows += store_rows(kind, costs, "shared-backlog", PLACE)
        lines += curves(kind, costs, PLACE)
    return Found(tuple(rows), tuple(lines))


async def _measure(run: Run, server: Postgres, kind: Kind, costs: Mapping[int, Costs]) -> None:
    async with AsyncExitStack() as stack:
        stores = {}
        for size in costs:
            database = await server.make_database(f"backlog_{size}")
            config = PostgresConfig(url=database.url)
            pools = PostgresPools(config, run.clock, _ignore)
            stores[size] = PostgresStore(pools, clock=run.clock)
            await stores[size].open()
            stack.push_async_callback(stores[size].close)
            await fill(stores[size], kind, size)
        for _ in range(TURNS):
            for size, store in stores.items():
                await measure_turn(store, kind, run.clock, costs[size])


def _ignore(_event: object) -> None:
    """Nobody observes these stores."""
