"""What tests of a move share: both ends, the move between them, and what callers hear at either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.clock import ManualClock
from tests.store.shelf import Shelf, new_item
from tests.store.still import StillDatabase, StillPools
from tirelessd.core.item import IdempotencyKey, Page, Selection, ShownState, State
from tirelessd.store.base import Store
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.postgres.store import PostgresStore
from tirelessd.store.sqlite import SqliteStore
from tirelessd.store.transfer.move import Moved, Progress, Show, move
from tirelessd.store.transfer.source import open_source
from tirelessd.store.transfer.target import open_target

QUEUES = ("work", "other")
STATES: tuple[State | ShownState | None, ...] = (None, *State, *ShownState)
FEW_STATES = (None, State.QUEUED, ShownState.RETRYING)


def ignore(_progress: Progress) -> None:
    """For a move that nobody watches."""


class Ends:
    """An embedded store with a file, and a database for it to be moved to, at one time."""

    def __init__(self, path: Path, clock: ManualClock | None = None) -> None:
        self.path = path
        self.clock = clock or ManualClock()
        self.source = Shelf(lambda clock: SqliteStore(path, clock=clock), self.clock)
        self.database = StillDatabase()
        self.target = Shelf(
            lambda clock: PostgresStore(StillPools(self.database, clock), clock=clock), self.clock
        )

    async def move(
        self,
        *,
        is_anew: bool = False,
        batch_rows: int = 3,
        show: Show = ignore,
        session_seconds: float = 5.0,
    ) -> Moved:
        """Move as the command does; small batches, so that there are many of them."""
        with open_source(self.path, self.clock.monotonic, batch_rows) as source:
            async with open_target(config(self.database.url), session_seconds) as target:
                return await move(source, target, show, is_anew=is_anew)


def config(url: str) -> PostgresConfig:
    """Where the tests' database is, which is quick rather than durable."""
    return PostgresConfig(url=url, allows_unsafe_durability=True)


async def answers(
    store: Store,
    ids: Sequence[str],
    keys: Sequence[tuple[str, IdempotencyKey]] = (),
    queues: Sequence[str] = QUEUES,
    states: Sequence[State | ShownState | None] = FEW_STATES,
) -> dict[str, Any]:
    """Whatever callers and operators can ask of a store, in pages so small that there are many."""
    found: dict[str, Any] = {}
    for item_id in ids:
        found[item_id] = (
            await store.get(item_id),
            await store.payload(item_id),
            await store.result(item_id),
        )
    for queue in queues:
        for state in states:
            found[f"{queue} {state}"] = await pages(store, queue, state)
    found["dead"] = await dead_pages(store)
    found["pauses"] = await store.pauses()
    asked = [new_item(queue, key=key) for queue, key in keys]
    found["keys"] = await store.find_keys(asked)
    snapshot = await store.snapshot(queues[:-1])
    found["snapshot"] = snapshot.queues, snapshot.unconfigured
    return found


async def pages(store: Store, queue: str, state: State | ShownState | None) -> list[Page]:
    """A list, page by page, each with what the next one is asked by."""
    found = [await store.list_items(queue, state, None, 2)]
    while (after := found[-1].next_after) is not None:
        found.append(await store.list_items(queue, state, after, 2))
    return found


async def dead_pages(store: Store) -> list[Page]:
    """All dead letters, page by page."""
    found = [await store.list_dead(Selection(), None, 2)]
    while (after := found[-1].next_after) is not None:
        found.append(await store.list_dead(Selection(), after, 2))
    return found
