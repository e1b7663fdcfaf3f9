"""An alarm rings in time, and a late one only after the loop had a look around."""

from __future__ import annotations

import asyncio
import socket
import threading

from tirelessd.core.alarm import GRACE_SECONDS, LATE_SECONDS, Alarm


async def test_alarm_rings_once() -> None:
    """A loop that is awake is called back when the time is up."""
    rung = asyncio.Event()

    Alarm(0.01, rung.set)

    await asyncio.wait_for(rung.wait(), 5)


async def test_cancelled_alarm_is_quiet() -> None:
    """Nobody is called after the cancellation, in a grace period neither."""
    rings: list[str] = []
    loop = asyncio.get_running_loop()
    alarm = Alarm(0.0, lambda: rings.append("cancelled"))
    over = asyncio.Event()

    block()
    loop.call_later(GRACE_SECONDS / 5, alarm.cancel)
    loop.call_later(GRACE_SECONDS * 2, over.set)
    await over.wait()

    assert rings == []


async def test_late_alarm_lets_the_loop_read_first() -> None:
    """What lay in a socket while the loop stood still is read before the time is called up."""
    order: list[str] = []
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    over = asyncio.Event()

    async def read() -> None:
        order.append((await reader.readline()).decode().strip())

    def ring() -> None:
        order.append("rung")
        over.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        group.create_task(over.wait())
        await asyncio.sleep(0)
        Alarm(0.01, ring)
        theirs.sendall(b"answer\n")
        block()

    writer.close()
    theirs.close()
    assert order == ["answer", "rung"]


def block() -> None:
    """Keep the loop from its work for longer than an alarm finds usual."""
    threading.Event().wait(LATE_SECONDS * 2)
