"""What the daemon says of itself: the state of its life, and whether its store works."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

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
        self.problem: str | None = None

    @property
    def is_up(self) -> bool:
        """Whether the last write went well."""
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
        """A write went well."""
        if self.problem is not None:
            self.problem = None
            down_seconds = asyncio.get_running_loop().time() - self._down_since
            self._emit(StoreHealed(down_seconds))
            self._up.set()

    async def wait_up(self) -> None:
        """Return once the store works."""
        await self._up.wait()
