"""Loops that fail come back, loops that end are noticed, and stopping is bounded."""

from __future__ import annotations

import asyncio

from tests.recorder import Recorder
from tirelessd.core.events import BackgroundTaskFailed, BackgroundTaskSucceeded
from tirelessd.engine.supervisor import Supervisor, restart_pause


async def test_loop_that_raises_is_told_and_started_again() -> None:
    """A failing loop is an event and a pause, not the end of the loop."""
    recorder = Recorder()
    supervisor = Supervisor(recorder)
    runs: list[int] = []

    async def body() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise ValueError("once")
        await asyncio.Event().wait()

    supervisor.start_loop("sweep", body)
    (failed,) = await recorder.wait_for(BackgroundTaskFailed)
    while len(runs) < 2:
        await asyncio.sleep(0)

    assert (failed.task, failed.restarts) == ("sweep", 1)
    assert supervisor.dead_loops() == []
    assert await supervisor.stop(1) == []


async def test_rounds_go_on_after_a_failed_one() -> None:
    """A round that fails is repeated soon; one that works is told with its interval."""
    recorder = Recorder()
    supervisor = Supervisor(recorder)
    rounds: list[int] = []

    async def work() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            raise OSError("no disk")

    supervisor.start_rounds("probe", 0.01, work)
    await recorder.wait_for(BackgroundTaskSucceeded, 2)

    assert len(recorder.of(BackgroundTaskFailed)) == 1
    await supervisor.stop(1)


async def test_loop_that_returns_is_dead() -> None:
    """A loop that ends although nobody stopped it is what liveness reports."""
    supervisor = Supervisor(Recorder())

    async def body() -> None:
        return

    supervisor.start_loop("short", body)
    while not supervisor.dead_loops():
        await asyncio.sleep(0)

    assert supervisor.dead_loops() == ["short"]


async def test_stop_names_what_would_not_end() -> None:
    """A task that ignores its cancellation is named, and does not hold the stop."""
    supervisor = Supervisor(Recorder())
    let_go = asyncio.Event()

    async def stubborn() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    task = supervisor.spawn(stubborn(), "stubborn one")
    await asyncio.sleep(0)

    assert supervisor.task_counts() == {"stubborn": 1}
    assert await supervisor.stop(0.01) == ["stubborn one"]
    let_go.set()
    await task


def test_restart_pause_grows_to_its_cap() -> None:
    """What fails again and again is started less and less often, down to every five seconds."""
    assert [restart_pause(n) for n in (1, 2, 3, 7, 1_000)] == [0.1, 0.2, 0.4, 5.0, 5.0]


async def test_loop_outlives_a_cancellation_by_a_stranger() -> None:
    """A handler that cancels every task there is costs a loop one restart, and is told of."""
    recorder = Recorder()
    supervisor = Supervisor(recorder)
    rounds: list[int] = []
    went_round = asyncio.Event()

    async def body() -> None:
        rounds.append(len(rounds))
        went_round.set()
        await asyncio.Event().wait()

    supervisor.start_loop("claim work", body)
    await went_round.wait()
    went_round.clear()
    (task,) = (each for each in asyncio.all_tasks() if each.get_name() == "claim work")

    task.cancel()
    async with asyncio.timeout(5):
        await went_round.wait()

    assert rounds == [0, 1]
    assert supervisor.dead_loops() == []
    assert await supervisor.stop(1.0) == []
