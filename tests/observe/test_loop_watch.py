"""A loop that is held up is measured, and told of while it lasts."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise

from tests.recorder import Recorder
from tirelessd.core.events import LoopLagMeasured
from tirelessd.observe.loop_watch import BEAT_SECONDS, FIRST_LOOK, LoopWatch, code_of

TOO_LONG_SECONDS = BEAT_SECONDS * (FIRST_LOOK + 3)


def hold_up(told: threading.Event) -> None:
    """Keep the loop from everything else until somebody notices."""
    told.wait(TOO_LONG_SECONDS)


async def test_blocked_loop_is_told_with_its_code() -> None:
    """The line comes while the loop is blocked, and names the function that does it."""
    recorder, told = Recorder(), threading.Event()
    words: list[tuple[float, str]] = []

    def tell(seconds: float, where: str) -> None:
        words.append((seconds, where))
        told.set()

    watch = LoopWatch(recorder, tell)
    watch.start()
    hold_up(told)
    was_told = told.is_set()
    await recorder.wait_for(LoopLagMeasured)
    watch.stop()

    ((seconds, where),) = words
    assert was_told
    assert seconds == FIRST_LOOK * BEAT_SECONDS
    assert " hold_up < " in where


async def test_beats_that_were_missed_count_as_late() -> None:
    """Or one look of many would be late, however long the loop stood still."""
    recorder = Recorder()
    watch = LoopWatch(recorder, lambda *_: None)
    watch.start()
    threading.Event().wait(TOO_LONG_SECONDS)

    lags = await recorder.wait_for(LoopLagMeasured, FIRST_LOOK + 2)
    watch.stop()

    late = [lag.seconds for lag in lags[: FIRST_LOOK + 2]]
    assert late[0] >= TOO_LONG_SECONDS - BEAT_SECONDS
    assert [round(one - other, 6) for one, other in pairwise(late)] == [BEAT_SECONDS] * (
        FIRST_LOOK + 1
    )


async def test_loop_that_is_awake_is_only_measured() -> None:
    """Beat after beat says how late it came, and nobody is told of a block."""
    recorder = Recorder()
    words: list[str] = []
    watch = LoopWatch(recorder, lambda _, where: words.append(where))

    watch.start()
    lags = await recorder.wait_for(LoopLagMeasured, 3)
    watch.stop()
    await asyncio.sleep(0)

    assert all(lag.seconds >= 0 for lag in lags)
    assert words == []


def test_thread_that_is_gone_runs_no_code() -> None:
    """What cannot be looked at is unknown."""
    assert code_of(None) == "unknown"
