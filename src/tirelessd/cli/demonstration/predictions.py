"""A prediction server as they are: each call takes a while, some fail, and one item never works."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiohttp import web

from tirelessd.core.clock import Clock

HOPELESS_ITEM: Final = 50
# Long enough that one at a time would be dull, short enough that twenty at a time are not.
SHORTEST_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 0.6


class Question(msgspec.Struct, frozen=True):
    """What a prediction is asked for: the number of the item."""

    item: int


class Call(msgspec.Struct, frozen=True):
    """One answered call, as the server saw it."""

    is_success: bool
    seconds: float


class Tally:
    """What the server itself counted: every call, item by item."""

    def __init__(self) -> None:
        self._calls: dict[int, list[Call]] = defaultdict(list)

    def add(self, item: int, call: Call) -> None:
        """Note an answer."""
        self._calls[item].append(call)

    @property
    def calls(self) -> Mapping[int, list[Call]]:
        """The answered calls of every item that was ever asked for."""
        return self._calls

    @property
    def successes(self) -> int:
        """Calls that were answered 200."""
        return sum(call.is_success for calls in self._calls.values() for call in calls)

    @property
    def failures(self) -> int:
        """Calls that were answered 500."""
        return sum(not call.is_success for calls in self._calls.values() for call in calls)

    @property
    def seconds(self) -> float:
        """How long all calls took together: the least that one at a time would take."""
        return sum(call.seconds for calls in self._calls.values() for call in calls)

    @property
    def predicted(self) -> set[int]:
        """Items that got a prediction."""
        return {n for n, calls in self._calls.items() if any(call.is_success for call in calls)}

    @property
    def retried(self) -> set[int]:
        """Items that got a prediction, though not at once."""
        return {n for n in self.predicted if not self._calls[n][0].is_success}


class PredictionServer:
    """Answers POST /predict; the same seed fails the same calls, however they are ordered."""

    def __init__(self, seed: int, failure_rate: float, clock: Clock) -> None:
        self.tally = Tally()
        self.url = ""
        self._seed = seed
        self._failure_rate = failure_rate
        self._clock = clock
        self._started: dict[int, int] = defaultdict(int)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen on a free port of loopback while the context lasts."""
        app = web.Application()
        app.router.add_post("/predict", self._predict)
        # At the end nobody reads what is still being predicted; a timeout of 0 would mean none.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}/predict"
            yield
        finally:
            await runner.cleanup()

    def draw(self, what: str, item: int, attempt: int) -> float:
        """A number from [0, 1) that depends on the seed and the arguments alone."""
        # A hash and no generator: calls come in any order, and each must have its own fate.
        text = f"{self._seed}/{what}/{item}/{attempt}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64

    async def _predict(self, request: web.Request) -> web.Response:
        # Counted here and not read from a header: these books owe nothing to the daemon.
        item = msgspec.json.decode(await request.read(), type=Question).item
        self._started[item] += 1
        attempt = self._started[item]
        began = self._clock.monotonic()
        spread = LONGEST_SECONDS - SHORTEST_SECONDS
        await asyncio.sleep(SHORTEST_SECONDS + spread * self.draw("duration", item, attempt))
        response = self._answer(item, attempt)
        seconds = self._clock.monotonic() - began
        self.tally.add(item, Call(response.status == web.HTTPOk.status_code, seconds))
        return response

    def _answer(self, item: int, attempt: int) -> web.Response:
        if item == HOPELESS_ITEM:
            return web.Response(status=500, text=f"the model cannot make sense of item {item}")
        if self.draw("failure", item, attempt) < self._failure_rate:
            return web.Response(status=500, text="the model is overloaded")
        label = "cat" if self.draw("label", item, 0) < 0.5 else "dog"
        body = msgspec.json.encode({"item": item, "label": label})
        return web.Response(body=body, content_type="application/json")
