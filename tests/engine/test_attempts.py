"""Every way an attempt can end, and what becomes of its item."""

from __future__ import annotations

import asyncio
from typing import Never

import pytest

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, Gate, House
from tirelessd.core.decision import Complete
from tirelessd.core.errors import AttemptError, GiveUp, Retry
from tirelessd.core.events import AttemptFinished, HandlerStuck, ItemDied, ItemSucceeded
from tirelessd.core.item import Context, Item, State
from tirelessd.core.outcome import DeadReason, Outcome, Reason
from tirelessd.core.queue import QueueConfig, RetryPolicy


async def test_first_try_success_keeps_the_result(house: House) -> None:
    """An item whose handler answers ends succeeded, with the answer as its result."""
    item_id = await house.submit(b"a")

    (event,) = await house.recorder.wait_for(ItemSucceeded)

    assert (event.item_id, event.attempts) == (item_id, 1)
    body = await house.store.result(item_id)
    assert body is not None
    assert body.content == b"done"


async def test_failure_is_tried_again_until_it_succeeds(house: House) -> None:
    """Two failures and a success are three attempts, two of them in the history."""
    house.handlers["work"].script(b"a", ValueError("one"), AttemptError("connect", "refused"))

    item_id = await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    record = await house.record(item_id)
    assert [(row.attempt, row.reason) for row in record.history] == [(1, "handler"), (2, "connect")]
    assert (record.state, record.attempts) == (State.SUCCEEDED, 3)


async def test_last_attempt_gives_up(house: House) -> None:
    """After `max_attempts` failures the item is dead, and the last error is kept."""
    house.handlers["work"].script(b"a", *(RuntimeError(f"no {n}") for n in (1, 2, 3, 4)))

    item_id = await house.submit(b"a")
    (died,) = await house.recorder.wait_for(ItemDied)

    record = await house.record(item_id)
    assert (died.reason, died.attempts) == (DeadReason.MAX_ATTEMPTS, 3)
    assert record.state is State.DEAD
    assert record.last_error is not None
    assert record.last_error.detail == "RuntimeError: no 3"
    assert len(house.handlers["work"].calls) == 3


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GiveUp("not a cat"), DeadReason.PERMANENT),
        (AttemptError("http_4xx", "teapot", status=418), DeadReason.NOT_RETRIABLE),
        (AttemptError("http_3xx", "moved", status=301), DeadReason.NOT_RETRIABLE),
    ],
)
async def test_hopeless_failure_gives_up_at_once(
    house: House, error: AttemptError, reason: DeadReason
) -> None:
    """What no further attempt can mend is tried once."""
    house.handlers["work"].script(b"a", error)

    await house.submit(b"a")
    (died,) = await house.recorder.wait_for(ItemDied)

    assert (died.reason, died.attempts) == (reason, 1)


async def test_handler_can_ask_for_its_own_delay(make_house: MakeHouse) -> None:
    """`Retry(after_seconds=…)` is added to the drawn wait."""
    house = await make_house(QueueConfig("work", retry=RetryPolicy(initial_seconds=0.2)))
    house.handlers["work"].script(b"a", Retry("later", after_seconds=30.0))

    await house.submit(b"a")
    (event,) = await house.recorder.wait_for(AttemptFinished)

    assert event.outcome is Outcome.RETRY
    assert event.retry_in_seconds is not None
    assert 30.0 < event.retry_in_seconds <= 30.2


async def test_timeout_is_a_failure(make_house: MakeHouse) -> None:
    """An attempt that outlasts its limit is cut off with reason `timeout`, and tried again."""
    house = await make_house(QueueConfig("work", attempt_timeout_seconds=0.05, retry=FAST_RETRY))
    gate = Gate()
    house.handlers["work"].script(b"a", gate)

    await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    first = house.recorder.of(AttemptFinished)[0]
    assert first.failure is not None
    assert first.failure.reason is Reason.TIMEOUT


async def test_attempt_is_limited_by_the_time_left(make_house: MakeHouse) -> None:
    """An attempt may not outlast the item's deadline; the item then ends dead as expired."""
    house = await make_house(QueueConfig("work", attempt_timeout_seconds=60, retry=FAST_RETRY))
    house.handlers["work"].script(b"a", Gate())

    await house.submit(b"a", deadline_seconds=0.1)
    (died,) = await house.recorder.wait_for(ItemDied)

    assert died.reason is DeadReason.EXPIRED
    assert died.failure is not None
    assert died.failure.reason is Reason.TIMEOUT


async def test_handler_that_ignores_cancellation_keeps_only_its_slot(
    make_house: MakeHouse,
) -> None:
    """Its item is settled at the timeout; the slot is shown stuck until the handler has ended."""
    queue = QueueConfig("work", slots=1, attempt_timeout_seconds=0.05, retry=FAST_RETRY)
    house = await make_house(queue)
    handler = house.handlers["work"]
    let_go = asyncio.Event()

    async def stubborn(item: Item, context: Context) -> Complete:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return Complete(b"too late")

    handler.script(b"a", stubborn)
    await house.submit(b"a")
    await house.recorder.wait_for(HandlerStuck)

    assert len(house.recorder.of(AttemptFinished)) == 1
    shown = house.engine.status().pools["work"]
    assert shown.stuck == 1
    assert shown.longest_running_seconds > queue.attempt_timeout_seconds

    let_go.set()
    (done,) = await house.recorder.wait_for(ItemSucceeded)
    assert done.attempts == 2
    shown = house.engine.status().pools["work"]
    assert shown.stuck == 0


async def test_cancelled_error_of_the_handler_is_its_failure(house: House) -> None:
    """A `CancelledError` that nobody asked for is one more exception of the handler."""
    house.handlers["work"].script(b"a", asyncio.CancelledError())

    await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    first = house.recorder.of(AttemptFinished)[0]
    assert first.failure is not None
    assert first.failure.reason is Reason.HANDLER


class _UnprintableError(Exception):
    def __str__(self) -> Never:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (_UnprintableError(), "_UnprintableError: (its message cannot be shown: RuntimeError)"),
        (ValueError("x" * 10_000_000), "ValueError: " + "x" * 988),
        (ValueError('line\n{"event": "forged"}'), 'ValueError: line\\n{"event": "forged"}'),
    ],
)
async def test_wild_exceptions_are_ordinary_failures(
    house: House, error: BaseException, detail: str
) -> None:
    """Whatever a handler raises, the daemon lives, the detail is bounded, the item goes on."""
    house.handlers["work"].script(b"a", error)

    item_id = await house.submit(b"a")
    await house.recorder.wait_for(ItemSucceeded)

    record = await house.record(item_id)
    assert [row.detail for row in record.history] == [detail]


async def test_slots_bound_what_runs_at_once(house: House) -> None:
    """With four slots never more than four attempts run, and all items end."""
    gates = [Gate() for _ in range(12)]
    for n, gate in enumerate(gates):
        house.handlers["work"].script(b"%d" % n, gate)
        await house.submit(b"%d" % n)

    for gate in gates:
        await asyncio.wait_for(gate.reached.wait(), 10)
        gate.opened.set()
    await house.recorder.wait_for(ItemSucceeded, 12)

    assert house.handlers["work"].most_running == 4
