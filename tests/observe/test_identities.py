"""At rest the numbers add up: what came in is what ended plus what is still there."""

from __future__ import annotations

import random

import pytest

from tests.conftest import MakeHouse
from tests.engine.script import FAST_RETRY, House
from tests.observe.events import make_metrics
from tirelessd.core.errors import GiveUp, Retry
from tirelessd.core.events import Event, ItemDied, ItemSucceeded
from tirelessd.core.item import Selection
from tirelessd.core.queue import QueueConfig
from tirelessd.observe.metrics import Metrics

ITEMS = 60
UNFINISHED = ("ready", "scheduled", "retrying", "running")

QUEUE = QueueConfig("work", slots=4, retry=FAST_RETRY)


async def live_through(house: House, source: random.Random) -> None:
    """Items that succeed, retry, die, wait, are cancelled, redriven and deleted; then rest."""
    handler, desk = house.handlers["work"], house.engine.desk
    for number in range(ITEMS):
        payload = str(number).encode()
        handler.script(payload, *(Retry(f"failure {n}") for n in range(source.randrange(4))))
        handler.script(payload, *[GiveUp("hopeless")][: source.randrange(2)])
        await house.submit(payload)
    await wait_ended(house, ITEMS)
    waiting = [await house.submit(b"later", delay_seconds=3_600.0) for _ in range(5)]
    for item_id in waiting[:2]:
        await desk.cancel(item_id)
    dead = [event.item_id for event in house.recorder.of(ItemDied)]
    await desk.delete_dead(Selection(ids=dead[:1]), dry_run=False)
    redriven = await desk.redrive(Selection(ids=dead[1:3]), dry_run=False)
    await wait_ended(house, ITEMS + redriven.count)
    await desk.list_items("work", None, None, 10)
    await desk.list_dead(Selection(), None, 10)


async def wait_ended(house: House, count: int) -> None:
    """Return once so many items have succeeded or died."""
    await house.recorder.wait_for(
        Event, count, lambda event: isinstance(event, ItemSucceeded | ItemDied)
    )


@pytest.fixture
async def metrics(make_house: MakeHouse) -> Metrics:
    """The metrics of a real engine on a real store, at rest after a varied life."""
    house = await make_house(QUEUE)
    await live_through(house, random.Random(7))
    await house.engine.desk.queues()
    status = house.engine.status()
    metrics = make_metrics(QUEUE)
    for event in house.recorder.events:
        metrics(event)
    metrics.catch_up()
    metrics.see_pools(status.pools)
    assert status.snapshot is not None
    metrics.see_store(status.snapshot.snapshot, taken_at=1.0, duration_seconds=0.0)
    return metrics


def total(metrics: Metrics, name: str, **labels: str) -> float:
    """All series of a name that have these labels, added up."""
    return sum(
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == f"tirelessd_{name}" and labels.items() <= sample.labels.items()
    )


async def test_what_came_in_ended_or_is_still_there(metrics: Metrics) -> None:
    """Accepted and redriven items succeeded, died, were cancelled, or wait."""
    came = total(metrics, "items_accepted_total") + total(metrics, "dead_items_redriven_total")

    ended = total(metrics, "items_completed_total")
    waiting = sum(total(metrics, "queue_items", state=state) for state in UNFINISHED)
    assert came == ended + waiting
    assert waiting == 3


async def test_dead_letters_are_those_that_died_and_were_not_put_back(metrics: Metrics) -> None:
    """Deaths less redriven and purged ones are the dead letters in the store."""
    died = total(metrics, "items_dead_total")

    gone = total(metrics, "dead_items_redriven_total") + total(metrics, "dead_items_purged_total")
    assert total(metrics, "queue_items", state="dead") == died - gone
    assert gone == 3


async def test_attempts_are_those_of_the_items(metrics: Metrics) -> None:
    """No item that waits here has been tried, so all attempts are in what the ended ones used."""
    counted = total(metrics, "attempts_total") - total(
        metrics, "attempts_total", outcome="released"
    )

    assert counted == total(metrics, "item_attempts_sum")


async def test_successful_attempts_are_succeeded_items(metrics: Metrics) -> None:
    """An attempt counts once its settlement held, and so does its item's end."""
    succeeded = total(metrics, "items_completed_total", outcome="succeeded")

    assert total(metrics, "attempts_total", outcome="success") == succeeded
    assert succeeded > 0


async def test_every_attempt_waited_once(metrics: Metrics) -> None:
    """Waiting is counted per attempt, the first ones apart."""
    waits = total(metrics, "item_wait_seconds_count")

    assert waits == total(metrics, "attempts_total")


async def test_the_engine_and_the_store_stay_within_the_closed_sets(metrics: Metrics) -> None:
    """Every verb, task and reason that they really use is among the labels' values."""
    assert total(metrics, "metric_label_overflow_total") == 0
