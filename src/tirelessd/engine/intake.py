"""Intake: from a caller's submission to an item that is stored durably.

The order of `accept` is the promise: a place in the queue is reserved, the item is committed, and
only then is anybody told.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, repeat
from typing import Final

import msgspec
import uuid_utils

from tirelessd.core.errors import (
    CommitPending,
    Draining,
    KeyConflict,
    QueueFull,
    Rejected,
    StoreError,
    UnknownQueue,
    UnstorableValue,
)
from tirelessd.core.events import Emit, ItemAccepted
from tirelessd.core.item import PRIORITY_DEFAULT, IdempotencyKey, NewItem
from tirelessd.core.queue import QueueConfig
from tirelessd.core.trace import TraceContext
from tirelessd.core.tracer import NO_TRACER, Tracer
from tirelessd.engine.capacity import Capacity
from tirelessd.engine.handing_off import HandingOff
from tirelessd.engine.health import StoreWatch
from tirelessd.engine.pool import Pool
from tirelessd.engine.supervisor import Supervisor
from tirelessd.store.base import Accepted, Conflicting, Enqueued, Replayed, Store

# A caller that is refused for lack of room hears so in time, though nobody can look its key up.
KNOWN_SECONDS: Final = 0.8


class Options(msgspec.Struct, frozen=True):
    """What a caller may ask for; `not_before_at` in epoch seconds, `key` unchecked text."""

    delay_seconds: float = 0.0
    not_before_at: float | None = None
    priority: int = PRIORITY_DEFAULT
    deadline_seconds: float | None = None
    key: str | None = None


class Submission(msgspec.Struct, frozen=True):
    """One item as it came over the wire; header names in lower case."""

    payload: bytes
    content_type: str
    headers: Mapping[str, str] = {}
    options: Options = Options()
    trace: TraceContext | None = None


class Intake:
    """Accepts items into configured queues until it is closed."""

    def __init__(
        self,
        queues: Sequence[QueueConfig],
        pools: Mapping[str, Pool],
        store: Store,
        capacity: Capacity,
        watch: StoreWatch,
        emit: Emit,
        supervisor: Supervisor,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._queues = {config.name: config for config in queues}
        self._pools = pools
        self._store = store
        self._capacity = capacity
        self._watch = watch
        self._emit = emit
        self._supervisor = supervisor
        self._tracer = tracer
        self._hand_off = HandingOff(pools)
        self._is_closed = False

    def close(self) -> None:
        """Refuse everything new from now on; replays are still answered."""
        self._is_closed = True

    @property
    def queue_names(self) -> Sequence[str]:
        """The configured queues."""
        return tuple(self._queues)

    def queue(self, name: str) -> QueueConfig:
        """The configured queue; raises `UnknownQueue`."""
        try:
            return self._queues[name]
        except KeyError:
            raise UnknownQueue(name) from None

    def retry_after_seconds(self, queue: str | None) -> int:
        """When a refused caller should come again, from the rate at which items end."""
        return self._capacity.retry_after_seconds(queue)

    async def accept(self, queue: str, submission: Submission) -> Accepted | Replayed:
        """Store one item durably, or answer with the one that its key already stands for.

        Raises `UnknownQueue`, `Draining`, `QueueFull`, `KeyConflict` or a `StoreError`.
        """
        (answer,) = await self.accept_slice(queue, (submission,))
        if isinstance(answer, Rejected):
            raise answer
        return answer

    async def accept_slice(
        self, queue: str, submissions: Sequence[Submission]
    ) -> Sequence[Accepted | Replayed | Rejected]:
        """Store items in one commit; answers in their order.

        What does not fit any more is refused item by item, the first ones come in. A `StoreError`
        concerns the whole slice.
        """
        config = self.queue(queue)
        # What comes in one call has one caller, and so one place in one trace.
        with self._tracer.send(queue, submissions[0].trace, len(submissions)) as sent:
            items = [new_item(config, submission, sent.context) for submission in submissions]
            if len(items) == 1:
                sent.carries(items[0].id)
            return await self._accept(config, items)

    async def _accept(
        self, config: QueueConfig, items: Sequence[NewItem]
    ) -> Sequence[Accepted | Replayed | Rejected]:
        queue = config.name
        places = self._reserve(queue, len(items))
        if places < len(items):
            self._capacity.conclude(queue, places, 0)
            return await self._accept_some(config, items)
        return [*map(answered, items, await self._store_items(queue, items, places))]

    async def _accept_some(
        self, config: QueueConfig, items: Sequence[NewItem]
    ) -> Sequence[Accepted | Replayed | Rejected]:
        """There is not room for all: what is there already takes none from what is new.

        So a caller that repeats itself learns of its items even now, for it may hold the only
        answer that got lost.
        """
        queue = config.name
        known = await self._known(items)
        fresh = [item for item, one in zip(items, known, strict=True) if one is None]
        places = self._reserve(queue, len(fresh))
        stored = await self._store_items(queue, fresh[:places], places)
        reason = Draining() if self._is_closed else QueueFull(queue, config.capacity_items)
        answers = chain(map(answered, fresh, stored), repeat(reason))
        return [
            next(answers) if one is None else answered(item, one)
            for item, one in zip(items, known, strict=True)
        ]

    def _reserve(self, queue: str, count: int) -> int:
        """Before the commit, so that concurrent callers cannot overfill the queue."""
        return 0 if self._is_closed else self._capacity.reserve(queue, count)

    async def _store_items(
        self, queue: str, items: Sequence[NewItem], places: int
    ) -> Sequence[Enqueued]:
        if not items:
            return ()
        try:
            return await self._book(
                queue, items, places, self._store.enqueue(items, self._hand_off)
            )
        except CommitPending as pending:
            # The caller is told now; the books are kept when the disk has answered.
            late = self._book_late(queue, items, places, pending.fate)
            self._supervisor.spawn(late, f"late {queue}")
            raise

    async def _book_late(
        self,
        queue: str,
        items: Sequence[NewItem],
        places: int,
        fate: Awaitable[Sequence[Enqueued]],
    ) -> None:
        with suppress(StoreError):  # the watch has it, and the caller has his answer
            await self._book(queue, items, places, fate)

    async def _book(
        self,
        queue: str,
        items: Sequence[NewItem],
        places: int,
        fate: Awaitable[Sequence[Enqueued]],
    ) -> Sequence[Enqueued]:
        """Wait for the store's answer, settle the places, and tell whom it concerns."""
        accepted = 0
        try:
            stored = await fate
            accepted = sum([isinstance(one, Accepted) for one in stored])
        except CommitPending as error:
            self._watch.failed(error)
            places = 0  # they stay set aside until the fate is known
            raise
        except StoreError as error:
            # With an unknown fate there may be items after all; the next snapshot counts them.
            if not is_their_own(error, items):
                self._watch.failed(error)
            raise
        finally:
            self._capacity.conclude(queue, places, accepted)
        self._watch.worked()
        self._announce(queue, items, stored)
        return stored

    def _announce(self, queue: str, items: Sequence[NewItem], stored: Sequence[Enqueued]) -> None:
        """Tell the observers, and the pool what it should look for."""
        soonest: float | None = None
        for item, one in zip(items, stored, strict=True):
            if not isinstance(one, Accepted):
                continue
            self._emit(
                ItemAccepted(queue, item.id, len(item.payload), one.is_handed_off, item.trace)
            )
            if not one.is_handed_off:
                soonest = (
                    one.due_in_seconds if soonest is None else min(soonest, one.due_in_seconds)
                )
        if soonest is not None:
            self._pools[queue].announce(soonest)

    async def _known(self, items: Sequence[NewItem]) -> Sequence[Replayed | Conflicting | None]:
        """What the keys of these items stand for, as far as it can be learned."""
        if all(item.key is None for item in items):
            return [None] * len(items)
        try:
            async with asyncio.timeout(KNOWN_SECONDS):
                return await self._store.find_keys(items)
        except (StoreError, TimeoutError):
            # Some are refused either way, and the others may be stored: nothing may raise now.
            return [None] * len(items)


def new_item(config: QueueConfig, submission: Submission, trace: TraceContext | None) -> NewItem:
    """The item to store: a fresh id, the queue's defaults filled in, only allowed headers."""
    options = submission.options
    deadline_seconds = options.deadline_seconds
    return NewItem(
        id=str(uuid_utils.uuid7()),
        queue=config.name,
        payload=submission.payload,
        content_type=submission.content_type,
        deadline_seconds=config.retry.deadline_seconds
        if deadline_seconds is None
        else deadline_seconds,
        headers=allowed_headers(config, submission.headers),
        priority=options.priority,
        delay_seconds=options.delay_seconds,
        not_before_at=options.not_before_at,
        key=idempotency_key(config, submission) if options.key is not None else None,
        trace=trace,
    )


def allowed_headers(config: QueueConfig, headers: Mapping[str, str]) -> Mapping[str, str]:
    """The caller's headers that the queue forwards."""
    if not config.forward_headers:
        return {}
    return {name: headers[name] for name in config.forward_headers if name in headers}


def idempotency_key(config: QueueConfig, submission: Submission) -> IdempotencyKey | None:
    """The key with the fingerprint of body, content type and options; trace context is left out."""
    options = submission.options
    if options.key is None:
        return None
    described = msgspec.json.encode(
        (
            submission.content_type,
            options.delay_seconds,
            options.not_before_at,
            options.priority,
            options.deadline_seconds,
        )
    )
    # The length goes first, so that no body can be mistaken for options followed by another body.
    digest = hashlib.sha256(len(described).to_bytes(8, "big"))
    digest.update(described)
    digest.update(submission.payload)
    return IdempotencyKey(options.key, digest.digest(), config.idempotency_seconds)


def answered(item: NewItem, stored: Enqueued) -> Accepted | Replayed | Rejected:
    """The store's answer as intake gives it: a conflict of keys is a refusal."""
    if isinstance(stored, Conflicting):
        assert item.key is not None
        return KeyConflict(item.key.text, stored.id)
    return stored


def is_their_own(error: StoreError, items: Sequence[NewItem]) -> bool:
    """Whether a failure is about these items, and says nothing of the store.

    Another process may be keeping one of their keys. What locks a whole table meets claims, too.
    """
    is_kept = error.kind == "busy" and any(item.key is not None for item in items)
    return is_kept or isinstance(error, UnstorableValue)
