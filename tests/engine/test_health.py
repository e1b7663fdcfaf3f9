"""When the store counts as working, and who is told."""

from __future__ import annotations

import asyncio

from tests.recorder import Recorder
from tirelessd.core.errors import StoreUnavailable
from tirelessd.core.events import StoreFailed, StoreHealed
from tirelessd.engine.health import StoreWatch

BUSY = StoreUnavailable("somebody else has the lock", "busy")


async def test_outage_is_told_once_and_its_end_too() -> None:
    """However many callers meet an outage, it is one event, and one when it is over."""
    recorder = Recorder()
    watch = StoreWatch(recorder)

    for _ in range(3):
        watch.failed(BUSY)
    watch.worked()
    watch.worked()

    assert [event.kind for event in recorder.of(StoreFailed)] == ["busy"]
    assert len(recorder.of(StoreHealed)) == 1
    assert watch.is_up


async def test_unwritten_outcome_keeps_the_store_down() -> None:
    """Another's success ends no outage while an outcome still waits to be written."""
    watch = StoreWatch(Recorder())
    watch.failed(BUSY)

    with watch.owing():
        watch.worked()
        assert watch.problem == BUSY.message
    watch.worked()

    assert watch.problem is None


async def test_waiter_sleeps_through_a_relapse() -> None:
    """A store that fails again before a waiter has its turn still counts as down for it."""
    watch = StoreWatch(Recorder())
    watch.failed(BUSY)
    waiter = asyncio.get_running_loop().create_task(watch.wait_up())
    await asyncio.sleep(0)

    watch.worked()
    watch.failed(BUSY)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiter.done()

    watch.worked()
    await waiter


async def test_probe_that_goes_well_invites_whoever_owes_an_outcome() -> None:
    """It need not wait for its pause to end; an invitation is for those who wait, once."""
    watch = StoreWatch(Recorder())
    waiting = asyncio.ensure_future(watch.wait_chance(60.0))
    await asyncio.sleep(0)

    watch.invite()
    await asyncio.wait_for(waiting, 10)
    late = asyncio.ensure_future(watch.wait_chance(60.0))
    await asyncio.sleep(0)

    assert not late.done()
    late.cancel()
