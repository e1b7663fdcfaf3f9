"""Many connections that only hold on: silent, dripping, or deaf; each knows when it was ended.

`python -m tests.faults.crowd` is a crowd in a process of its own, so that it takes no time from
whoever measures. It reads a `Plan` from its standard input, one line; writes `Group`s to standard
output once all are connected; and, when its input ends, writes them again and leaves.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import cast

import msgspec

from tests.waiting import a_moment

# Dialled together; with a pause after, so that they are a crowd and no benchmark of connecting.
DIALLED_AT_ONCE = 50
DIAL_SECONDS = 0.08
DRIP_SECONDS = 1.0
# Not all at the same instant: strangers know nothing of each other.
DRIP_TURNS = 20
NICENESS = 10
ROOT = Path(__file__).parents[2]


class Part(msgspec.Struct, frozen=True):
    """So many connections that send `first` at once, then `drip` byte by byte."""

    name: str
    count: int
    first: str = ""
    drip: str = ""
    is_deaf: bool = False


class Plan(msgspec.Struct, frozen=True):
    """Who is to connect where, one part after the other."""

    port: int
    parts: Sequence[Part]


class Group(msgspec.Struct, frozen=True):
    """What became of a part: how many are open, and how long the others were, in seconds.

    `statuses` are those of the first answers that came.
    """

    name: str
    open: int
    held_seconds: Sequence[float]
    statuses: Sequence[str]


class Member(asyncio.Protocol):
    """One connection of a part."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._sent = 0
        self._transport: asyncio.Transport | None = None
        self.received = b""
        self.began_at = self.ended_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say the first words."""
        self._transport = cast("asyncio.Transport", transport)
        self.began_at = asyncio.get_running_loop().time()
        if self._part.is_deaf:
            self._transport.pause_reading()
        self._transport.write(self._part.first.encode())

    def data_received(self, data: bytes) -> None:
        """Keep the beginning of an answer."""
        self.received = (self.received + data)[:64]

    def eof_received(self) -> None:
        """Note the end."""
        self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, whichever way it came."""
        del exc
        self.end()

    def end(self) -> None:
        """Note that the daemon has ended it."""
        now = asyncio.get_running_loop().time()
        self.began_at = self.began_at or now
        self.ended_at = self.ended_at or now

    def drip(self) -> None:
        """Send the next byte."""
        drip = self._part.drip
        if not self.ended_at and self._transport is not None and self._sent < len(drip):
            self._transport.write(drip[self._sent].encode())
            self._sent += 1


class Crowd:
    """The connections of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._members: dict[str, list[Member]] = {part.name: [] for part in plan.parts}

    async def gather(self) -> None:
        """Connect everybody; whom the kernel or the daemon refuses counts as ended."""
        for part in self._plan.parts:
            for dialled in range(0, part.count, DIALLED_AT_ONCE):
                count = min(DIALLED_AT_ONCE, part.count - dialled)
                members = [Member(part) for _ in range(count)]
                self._members[part.name] += members
                await asyncio.gather(*map(self._dial, members))
                await a_moment(DIAL_SECONDS)

    async def _dial(self, member: Member) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: member, "127.0.0.1", self._plan.port)
        except OSError:
            member.end()

    async def drip_on(self) -> None:
        """Have everybody drip, as long as the task lives."""
        for turn in cycle(range(DRIP_TURNS)):
            for members in self._members.values():
                for member in members[turn::DRIP_TURNS]:
                    member.drip()
            await a_moment(DRIP_SECONDS / DRIP_TURNS)

    def tell(self) -> None:
        """Write what has become of everybody by now."""
        groups = [group_of(name, members) for name, members in self._members.items()]
        sys.stdout.write(msgspec.json.encode(groups).decode() + "\n")
        sys.stdout.flush()


def group_of(name: str, members: Sequence[Member]) -> Group:
    """What has become of some."""
    ended = [member for member in members if member.ended_at]
    held = [round(member.ended_at - member.began_at, 3) for member in ended]
    statuses = {member.received[9:12].decode() for member in members if member.received}
    return Group(name, len(members) - len(ended), held, sorted(statuses))


async def run(plan: Plan) -> None:
    """Be a crowd until the input ends; one that comes last when processors are short."""
    os.nice(NICENESS)
    crowd = Crowd(plan)
    dripping = asyncio.get_running_loop().create_task(crowd.drip_on())
    await crowd.gather()
    # Those over the cap are closed at once; give it the moment that this takes.
    await a_moment(1.0)
    crowd.tell()
    await asyncio.to_thread(sys.stdin.buffer.read)
    crowd.tell()
    dripping.cancel()


def room_for(connections: int) -> int:
    """As many of these connections as a process may have here, its limit raised as far as it goes.

    Children inherit the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > soft:
        most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    return min(connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 2 // 3)


class Onlookers:
    """A crowd process, seen from the rig; `gathered` and `left` are its two reports, by part."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.gathered: dict[str, Group] = {}
        self.left: dict[str, Group] = {}

    async def report(self) -> dict[str, Group]:
        """The next report."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        return {group.name: group for group in msgspec.json.decode(line, type=list[Group])}

    async def leave(self) -> None:
        """Have everybody go, and keep the last report."""
        assert self._process.stdin is not None
        if self._process.returncode is None and not self.left:
            self._process.stdin.close()
            self.left = await self.report()
            await self._process.wait()


@asynccontextmanager
async def crowd(plan: Plan) -> AsyncIterator[Onlookers]:
    """A crowd that has gathered, as long as it is entered."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.crowd"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=1 << 24,
    )
    onlookers = Onlookers(process)
    try:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(plan) + b"\n")
        onlookers.gathered = await onlookers.report()
        yield onlookers
        await onlookers.leave()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    asyncio.run(run(msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)))
