"""What the daemon says of itself: the state of its life, and whether its store works."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import msgspec

from tirelessd.core.errors import StoreError
from tirelessd.core.events import Emit, LifecycleState, StoreFailed, StoreHealed


class Health(msgspec.Struct, frozen=True):
    """What the probes answer from.

    `failing` maps a readiness check to one line; `dead_tasks` is what liveness looks at.
    """

    lifecycle: LifecycleState
    is_started: bool
    failing: Mapping[str, str]
    dead_tasks: Sequence[str]


class StoreWatch:
    """Knows whether the store works, from what every caller met and from the write probe.

    Claims wait for `wait_up`; readiness reads `problem`.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._up = asyncio.Event()
        self._up.set()
        self._down_since = 0.0
        self._unwritten = 0
        self._chance = asyncio.Event()
        self.problem: str | None = None

    @property
    def is_up(self) -> bool:
        """Whether writes go well, and no outcome is left to be written."""
        return self.problem is None

    def failed(self, error: StoreError) -> None:
        """A write failed; told to observers once, until it heals."""
        # Every caller reports; only the first report of an outage is news.
        if self.problem is None:
            self._down_since = asyncio.get_running_loop().time()
            self._emit(StoreFailed(error.message, error.kind))
        self.problem = error.message
        self._up.clear()

    def worked(self) -> None:
        """A write went well; the outage is over unless an outcome still waits for its own."""
        # A probe or a submission may fit where outcomes do not: claiming more would add to them.
        if self.problem is not None and not self._unwritten:
            self.problem = None
            down_seconds = asyncio.get_running_loop().time() - self._down_since
            self._emit(StoreHealed(down_seconds))
            self._up.set()

    def invite(self) -> None:
        """A probe went well: whoever owes an outcome may try it now."""
        self._chance.set()
        self._chance = asyncio.Event()

    async def wait_chance(self, seconds: float) -> None:
        """Return at the next invitation, or after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._chance.wait(), seconds)

    @contextmanager
    def owing(self) -> Iterator[None]:
        """While inside, an outcome waits to be written, and the store does not count as working."""
        self._unwritten += 1
        try:
            yield
        finally:
            self._unwritten -= 1

    async def wait_up(self) -> None:
        """Return once the store works."""
        # Looked at again: it may have failed anew between the event and this task's turn.
        while not self.is_up:
            await self._up.wait()
