"""The bare client: an aiohttp loop that does nothing but POST, in a process of its own.

`python -m bench.client` reads an errand from standard input and writes the requests a second to
standard output. It is the ceiling of everything that delivers through aiohttp.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import msgspec
import uvloop

from tirelessd.core.clock import Clock, SystemClock


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """POST `body` to `url` from so many loops at once, for so many seconds."""

    url: str
    body: bytes
    loops: int
    seconds: float


async def run_errand(errand: Errand, clock: Clock) -> float:
    """Answered requests a second; any answer that is not 200 is an error."""
    begins_at = clock.monotonic()
    ends_at = begins_at + errand.seconds
    connector = aiohttp.TCPConnector(limit=errand.loops)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:

        async def post_on() -> int:
            answers = 0
            while clock.monotonic() < ends_at:
                async with session.post(
                    errand.url, data=errand.body, headers={"Content-Type": "application/json"}
                ) as answer:
                    await answer.read()
                answers += 1
            return answers

        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(post_on()) for _ in range(errand.loops)]
    return sum(loop.result() for loop in loops) / (clock.monotonic() - begins_at)


def main() -> None:
    """Read an errand, run it, write its rate."""
    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
    sys.stdout.write(str(uvloop.run(run_errand(errand, SystemClock()))))


if __name__ == "__main__":
    main()
