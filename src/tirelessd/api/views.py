"""From what the engine shows to what goes out as JSON."""

from __future__ import annotations

from typing import Any

from tirelessd.api.shapes import (
    PURGED,
    ChangedCount,
    Counts,
    FailedAttempt,
    ItemDetail,
    ItemList,
    ItemSummary,
    PauseInForce,
    QueueDetail,
    QueuePolicy,
    Receipt,
)
from tirelessd.core.clock import instant
from tirelessd.core.item import AttemptRecord, ShownState
from tirelessd.core.queue import QueueConfig
from tirelessd.engine.desk import ItemPage, ItemView, QueueView
from tirelessd.store.base import Accepted, Changed, Replayed


def receipt(queue: str, answer: Accepted | Replayed) -> Receipt:
    """What the submitter of one item gets."""
    return Receipt(answer.id, queue, answer.state or PURGED)


def item_detail(view: ItemView) -> ItemDetail:
    """One item, with its history."""
    history = [failed_attempt(attempt) for attempt in view.record.history]
    return ItemDetail(history=history, **_summary_fields(view))


def item_list(page: ItemPage) -> ItemList:
    """A page of items, without their histories."""
    return ItemList([ItemSummary(**_summary_fields(view)) for view in page.items], page.next_after)


def failed_attempt(record: AttemptRecord) -> FailedAttempt:
    """One line of a history."""
    return FailedAttempt(
        generation=record.generation,
        attempt=record.attempt,
        reason=record.reason,
        status=record.status,
        detail=record.detail,
        started_at=None if record.started_at is None else instant(record.started_at),
        duration_seconds=record.duration_seconds,
    )


def queue_detail(view: QueueView) -> QueueDetail:
    """One queue."""
    counts = view.snapshot.counts
    return QueueDetail(
        name=view.config.name,
        counts=Counts(**{state.value: counts.get(state, 0) for state in ShownState}),
        ready_age_seconds=view.snapshot.ready_age_seconds,
        slots=view.config.slots,
        slots_busy=view.slots_busy,
        slots_stuck=view.slots_stuck,
        pause=None if view.pause is None else PauseInForce(view.pause.expires_in_seconds),
        policy=_queue_policy(view.config),
    )


def changed_count(changed: Changed) -> ChangedCount:
    """The answer to a bulk call on dead letters."""
    return ChangedCount(changed.count, changed.remaining)


# As fields and not as a value, because msgspec's values do not inherit from one another's.
def _summary_fields(view: ItemView) -> dict[str, Any]:
    record = view.record
    last_error, finished_at = record.last_error, record.finished_at
    return {
        "id": record.id,
        "queue": record.queue,
        "state": record.state,
        "shown_state": record.shown_state,
        "waiting_for": view.waiting_for,
        "attempts": record.attempts,
        "max_attempts": view.max_attempts,
        "generation": record.generation,
        "priority": record.priority,
        "content_type": record.content_type,
        "payload_bytes": record.payload_bytes,
        "accepted_at": instant(record.accepted_at),
        "due_at": instant(record.due_at),
        "deadline_at": instant(record.deadline_at),
        "finished_at": None if finished_at is None else instant(finished_at),
        "dead_reason": record.dead_reason,
        "last_error": None if last_error is None else failed_attempt(last_error),
    }


def _queue_policy(config: QueueConfig) -> QueuePolicy:
    return QueuePolicy(
        handler=config.handler_type,
        lease_seconds=config.lease_seconds,
        attempt_timeout_seconds=config.attempt_timeout_seconds,
        capacity_items=config.capacity_items,
        idempotency_seconds=config.idempotency_seconds,
        retry=config.retry,
        retention=config.retention,
    )
