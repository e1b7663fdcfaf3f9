"""How late the event loop is, and which code it is that holds it up."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from tirelessd.core.events import Emit, LoopLagMeasured

BEAT_SECONDS: Final = 0.25
# Looks without a beat in between: a second is a block, and one that lasts is told of again.
FIRST_LOOK: Final = 4
NEXT_LOOKS: Final = 40
FRAMES: Final = 6
# Of a process that was stopped for an hour nobody needs to know more.
MISSED_MOST: Final = 1_000

Tell = Callable[[float, str], None]


class LoopWatch:
    """Measures the loop from inside, and looks at it from a thread, from `start` to `stop`.

    `emit` gets a `LoopLagMeasured` for each beat, those included for which the loop came too late.
    `tell` is called in the thread while the loop is blocked, with the seconds so far and the code
    that runs: a loop that never comes back could tell nobody. Looks are counted instead of a clock
    asked, so that a process that was stopped as a whole is not taken for a blocked one.
    """

    def __init__(self, emit: Emit, tell: Tell) -> None:
        self._emit = emit
        self._tell = tell
        self._beats = 0
        self._due_at = 0.0
        self._over = threading.Event()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running loop, whose thread this is."""
        thread = threading.get_ident()
        self._expect_beat()
        watcher = threading.Thread(target=self._watch, args=(thread,), name="watch", daemon=True)
        watcher.start()

    def stop(self) -> None:
        """Watch no more; idempotent."""
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()

    def _expect_beat(self) -> None:
        loop = asyncio.get_running_loop()
        self._due_at = loop.time() + BEAT_SECONDS
        self._timer = loop.call_at(self._due_at, self._beat)

    def _beat(self) -> None:
        self._beats += 1
        lag_seconds = max(asyncio.get_running_loop().time() - self._due_at, 0.0)
        self._emit(LoopLagMeasured(lag_seconds))
        # The beats that did not come would have been late as well: without them a loop that stands
        # still for most of the time would seem to be late now and then.
        for missed in range(1, min(int(lag_seconds / BEAT_SECONDS), MISSED_MOST) + 1):
            self._emit(LoopLagMeasured(lag_seconds - missed * BEAT_SECONDS))
        self._expect_beat()

    def _watch(self, thread: int) -> None:
        seen, looks = self._beats, 0
        while not self._over.wait(BEAT_SECONDS):
            looks = looks + 1 if self._beats == seen else 0
            seen = self._beats
            if looks == FIRST_LOOK or (looks and looks % NEXT_LOOKS == 0):
                self._tell(looks * BEAT_SECONDS, code_of(sys._current_frames().get(thread)))  # noqa: SLF001


def code_of(frame: FrameType | None) -> str:
    """Where a thread is: file, line and function, innermost first."""
    if frame is None:
        return "unknown"
    stack = traceback.extract_stack(frame)[-FRAMES:]
    return " < ".join(
        f"{Path(entry.filename).name}:{entry.lineno} {entry.name}" for entry in reversed(stack)
    )
