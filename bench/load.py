"""The load: a closed loop over some connections, in a process of its own.

`python -m bench.load` reads a plan from its standard input and writes what it saw to its standard
output, both as JSON. Beside a server on the same machine every cycle it takes is taken from what it
measures: requests are ready-made bytes, and answers are only measured for their length.
"""

from __future__ import annotations

import asyncio
import sys
from array import array
from collections import Counter
from typing import cast

import msgspec
import uvloop

from bench.figures import percentile
from bench.usage import own_cpu_seconds
from bench.wire import AnswerReader, WireError
from tirelessd.core.clock import Clock, SystemClock

# Far above what one process gets answered in the longest plan.
REQUESTS_MAX = 2_000_000
# A server that leaves a request unanswered for so long has failed.
PATIENCE_SECONDS = 30.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send: the request over and over, on each connection as soon as it was answered.

    With a `tail` the running number of the request stands between `request` and `tail`. The end
    comes after `seconds` or `requests`, whichever is first; what was sent by then is waited for.
    `pause_seconds` lie between an answer and the next request.
    """

    port: int
    request: bytes
    tail: bytes | None = None
    connections: int = 64
    seconds: float = 3.0
    requests: int = REQUESTS_MAX
    pause_seconds: float = 0.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What came back; a latency is from sending a request to having its whole answer.

    `started_at` is in epoch seconds; `cpu_seconds` is what the load itself took.
    """

    statuses: dict[int, int]
    started_at: float
    seconds: float
    cpu_seconds: float
    p50_seconds: float
    p99_seconds: float
    body_bytes: int

    @property
    def answers(self) -> int:
        """Answers of any kind."""
        return sum(self.statuses.values())

    @property
    def successes(self) -> int:
        """Answers that say yes."""
        return sum(number for status, number in self.statuses.items() if 200 <= status < 300)

    @property
    def rate(self) -> float:
        """Successes a second."""
        return self.successes / self.seconds


class Load:
    """All connections together: what is sent next, and what came back."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._plan = plan
        self.now = clock.monotonic
        self._clock = clock
        self._sent = 0
        self._ends_at = 0.0
        self._answers = 0
        # Made beforehand: growing it would cost in the middle of what is measured.
        self._latencies = array("d", bytes(8 * plan.requests))
        self._statuses: Counter[int] = Counter()
        self._body_bytes = 0
        self._open = plan.connections
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Seen:
        """Connect, then send until the plan is fulfilled; raises what broke a connection."""
        loop, plan = asyncio.get_running_loop(), self._plan
        connections = [
            (await loop.create_connection(lambda: Connection(self), "127.0.0.1", plan.port))[1]
            for _ in range(plan.connections)
        ]
        started_at, begins_at, cpu_seconds = self._clock.wall(), self.now(), own_cpu_seconds()
        self._ends_at = begins_at + plan.seconds
        for connection in connections:
            connection.send_next()
        async with asyncio.timeout(plan.seconds + PATIENCE_SECONDS):
            await self._over
        seconds = self.now() - begins_at
        latencies = sorted(self._latencies[: self._answers])
        return Seen(
            statuses=dict(self._statuses),
            started_at=started_at,
            seconds=seconds,
            cpu_seconds=own_cpu_seconds() - cpu_seconds,
            p50_seconds=percentile(latencies, 0.50),
            p99_seconds=percentile(latencies, 0.99),
            body_bytes=self._body_bytes,
        )

    def next_request(self) -> bytes | None:
        """The bytes to send, or None when the plan is fulfilled."""
        plan = self._plan
        if self._sent >= plan.requests or self.now() >= self._ends_at:
            return None
        self._sent += 1
        if plan.tail is None:
            return plan.request
        return b"%b%d%b" % (plan.request, self._sent, plan.tail)

    def answered(self, connection: Connection, answer: AnswerReader) -> None:
        """Count an answer, and let its connection go on."""
        self._latencies[self._answers] = self.now() - connection.sent_at
        self._answers += 1
        self._statuses[answer.status] += 1
        self._body_bytes = answer.body_bytes
        if self._plan.pause_seconds:
            loop = asyncio.get_running_loop()
            loop.call_later(self._plan.pause_seconds, connection.send_next)
        else:
            connection.send_next()

    def finished(self) -> None:
        """A connection has nothing more to send."""
        self._open -= 1
        if not self._open and not self._over.done():
            self._over.set_result(None)

    def broke(self, error: Exception) -> None:
        """A connection cannot go on, so there is no result."""
        if not self._over.done():
            self._over.set_exception(error)


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, load: Load) -> None:
        self.sent_at = 0.0
        self._load = load
        self._answer = AnswerReader()
        self._is_finished = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        # uvloop's transports have the methods, not the parentage.
        self._transport = cast("asyncio.Transport", transport)

    def send_next(self) -> None:
        """Send the next request, or close when there is none."""
        assert self._transport is not None
        request = self._load.next_request()
        if request is None:
            self._is_finished = True
            self._transport.close()
            self._load.finished()
            return
        self.sent_at = self._load.now()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer."""
        try:
            is_whole = self._answer.feed(data)
        except WireError as error:
            self._load.broke(error)
            return
        if is_whole:
            self._load.answered(self, self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody but us is to end a connection."""
        if not self._is_finished:
            self._load.broke(exc or WireError("the server closed a connection"))


async def run_plan(plan: Plan, clock: Clock) -> Seen:
    """Fulfil a plan in this process."""
    return await Load(plan, clock).run()


def main() -> None:
    """Read a plan, fulfil it, write what was seen."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    seen = uvloop.run(run_plan(plan, SystemClock()))
    sys.stdout.buffer.write(msgspec.json.encode(seen))


if __name__ == "__main__":
    main()
