"""The desk: what people ask about items and queues, and what operators do to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from tirelessd.core.errors import ItemNotFound, NoResult, NotCancellable, NotFinished, UnknownQueue
from tirelessd.core.events import (
    DeadItemsPurged,
    Emit,
    ItemCancelled,
    ItemsRedriven,
    QueuePaused,
    QueueResumed,
)
from tirelessd.core.item import Body, ItemRecord, Page, Selection, ShownState, State
from tirelessd.core.queue import QueueConfig
from tirelessd.core.trace import TraceContext
from tirelessd.engine.capacity import Capacity
from tirelessd.engine.pauses import Pauses
from tirelessd.engine.pool import Pool
from tirelessd.engine.snapshots import Snapshots
from tirelessd.store.base import Changed, Pause, QueueSnapshot, Store

BULK_LIMIT: Final = 1_000

WaitingFor = Literal["slot", "backoff", "delay", "paused", "unconfigured"]
WAITING: Final[Mapping[ShownState, WaitingFor]] = {
    ShownState.READY: "slot",
    ShownState.RETRYING: "backoff",
    ShownState.SCHEDULED: "delay",
}


class ItemView(msgspec.Struct, frozen=True):
    """An item as people are shown it; `max_attempts` is its queue's now, None without one."""

    record: ItemRecord
    waiting_for: WaitingFor | None
    max_attempts: int | None


class QueueView(msgspec.Struct, frozen=True):
    """A queue as people are shown it."""

    config: QueueConfig
    snapshot: QueueSnapshot
    slots_busy: int
    slots_stuck: int
    pause: Pause | None


class ItemPage(msgspec.Struct, frozen=True):
    """A stretch of a list."""

    items: Sequence[ItemView]
    next_after: str | None


class Desk:
    """Reads and operator actions over all queues."""

    def __init__(
        self,
        queues: Sequence[QueueConfig],
        pools: Mapping[str, Pool],
        store: Store,
        pauses: Pauses,
        snapshots: Snapshots,
        capacity: Capacity,
        emit: Emit,
    ) -> None:
        self._queues = {config.name: config for config in queues}
        self._pools = pools
        self._store = store
        self._pauses = pauses
        self._snapshots = snapshots
        self._capacity = capacity
        self._emit = emit

    # --- items ---------------------------------------------------------------

    async def item(self, item_id: str) -> ItemView:
        """The item with its history; raises `ItemNotFound`."""
        return self._view(await self._record(item_id))

    async def payload(self, item_id: str) -> Body:
        """The payload, byte for byte; raises `ItemNotFound`."""
        body = await self._store.payload(item_id)
        if body is None:
            raise ItemNotFound(item_id)
        return body

    async def result(self, item_id: str) -> Body:
        """What the handler answered; raises `ItemNotFound`, `NotFinished` or `NoResult`."""
        body = await self._store.result(item_id)
        if body is not None:
            return body
        # The result is looked for first: it is there in the common case, and saves a read.
        record = await self._record(item_id)
        if not record.state.is_final:
            raise NotFinished(item_id, record.state)
        # It may have ended between the two looks, and from its end on it is what it is.
        body = await self._store.result(item_id)
        if body is None:
            raise NoResult(item_id)
        return body

    async def cancel(self, item_id: str) -> ItemView:
        """Cancel a queued item; raises `ItemNotFound` or `NotCancellable`."""
        # One guarded statement decides; to look first and cancel then would race with a claim.
        cancelled = await self._store.cancel(item_id)
        if cancelled.state is None:
            raise ItemNotFound(item_id)
        if cancelled.state is not State.CANCELLED:
            raise NotCancellable(item_id, cancelled.state)
        # It has happened, whatever becomes of the read that follows.
        if cancelled.is_changed:
            self._capacity.end(cancelled.queue)
            self._emit(ItemCancelled(cancelled.queue, item_id, cancelled.attempts))
        return await self.item(item_id)

    async def _record(self, item_id: str) -> ItemRecord:
        record = await self._store.get(item_id)
        if record is None:
            raise ItemNotFound(item_id)
        return record

    def _view(self, record: ItemRecord) -> ItemView:
        config = self._queues.get(record.queue)
        max_attempts = config.retry.max_attempts if config is not None else None
        return ItemView(record, self._waiting_for(record), max_attempts)

    def _waiting_for(self, record: ItemRecord) -> WaitingFor | None:
        """What must happen before the item's next attempt; None when nothing is awaited."""
        if record.state is not State.QUEUED:
            return None
        if record.queue not in self._pools:
            return "unconfigured"
        if self._pools[record.queue].is_paused:
            return "paused"
        return WAITING[record.shown_state]

    # --- queues --------------------------------------------------------------

    async def queues(self) -> Sequence[QueueView]:
        """Every configured queue, in the order of configuration."""
        taken = await self._snapshots.fresh()
        return [self._queue_view(name, taken.snapshot.queues[name]) for name in self._queues]

    async def queue(self, name: str) -> QueueView:
        """One queue; raises `UnknownQueue`."""
        self._check(name)
        taken = await self._snapshots.fresh()
        return self._queue_view(name, taken.snapshot.queues[name])

    async def list_items(
        self, queue: str, state: State | ShownState | None, after: str | None, limit: int
    ) -> ItemPage:
        """Items of a queue as they were accepted; raises `UnknownQueue` or `InvalidRequest`."""
        self._check(queue)
        return self._page(await self._store.list_items(queue, state, after, limit))

    async def pause(self, queue: str, expires_in_seconds: float | None) -> QueueView:
        """Stop attempts of a queue, durably; what runs finishes."""
        self._check(queue)
        await self._store.pause(queue, expires_in_seconds)
        await self._pauses.refresh()
        self._emit(QueuePaused(queue, expires_in_seconds))
        return await self.queue(queue)

    async def resume(self, queue: str) -> QueueView:
        """End a queue's pause; no error when it has none."""
        self._check(queue)
        await self._store.resume(queue)
        await self._pauses.refresh()
        self._emit(QueueResumed(queue))
        return await self.queue(queue)

    def _check(self, queue: str) -> None:
        if queue not in self._queues:
            raise UnknownQueue(queue)

    def _queue_view(self, name: str, snapshot: QueueSnapshot) -> QueueView:
        reading = self._pools[name].reading()
        return QueueView(
            self._queues[name], snapshot, reading.busy, reading.stuck, self._pauses.of(name)
        )

    # --- dead letters --------------------------------------------------------

    async def list_dead(self, selection: Selection, after: str | None, limit: int) -> ItemPage:
        """Dead letters in the order of their death, oldest first; raises `InvalidRequest`."""
        return self._page(await self._store.list_dead(selection, after, limit))

    async def redrive(
        self, selection: Selection, *, dry_run: bool, trace: TraceContext | None = None
    ) -> Changed:
        """Put dead letters back into their queues, at most `BULK_LIMIT` a call."""
        changed = await self._store.redrive(selection, BULK_LIMIT, dry_run=dry_run, trace=trace)
        if dry_run:
            return changed
        for queue, count in changed.counts.items():
            self._capacity.add(queue, count)
            self._emit(ItemsRedriven(queue, count))
            # A dead letter of a queue that is gone can be put back too; it waits to be configured.
            if queue in self._pools:
                self._pools[queue].announce(0.0)
        return changed

    async def delete_dead(self, selection: Selection, *, dry_run: bool) -> Changed:
        """Delete dead letters for good, at most `BULK_LIMIT` a call."""
        changed = await self._store.delete_dead(selection, BULK_LIMIT, dry_run=dry_run)
        if not dry_run:
            for queue, count in changed.counts.items():
                self._emit(DeadItemsPurged(queue, count, "operator"))
        return changed

    def _page(self, page: Page) -> ItemPage:
        return ItemPage([self._view(record) for record in page.items], page.next_after)
