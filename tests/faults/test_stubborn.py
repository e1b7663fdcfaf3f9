"""P8: a handler that never ends cannot hold the daemon's shutdown, nor its own item."""

from __future__ import annotations

import signal

import aiohttp

from tests.faults.conftest import MakeDaemon
from tests.faults.ledger import Ledger
from tests.waiting import wait_until


async def test_blocked_thread_is_abandoned_at_exit(make_daemon: MakeDaemon, ledger: Ledger) -> None:
    """The daemon exits in time with code 1, says what it abandoned, and its item is tried again."""
    handler = {"type": "python", "function": "tests.model:block"}
    queues = {"work": {"handler": handler, "slots": 1}}
    daemon = make_daemon(drain_seconds=0.5, pre_drain_seconds=0, queues=queues)
    await daemon.start()
    async with aiohttp.ClientSession() as session:
        entry = await ledger.submit(session, f"{daemon.urls['api']}/v1/queues/work/items", "ok")
        url = f"{daemon.urls['api']}/v1/items/{entry.item_id}"

        async def is_running() -> bool:
            async with session.get(url) as response:
                return bool((await response.json())["shown_state"] == "running")

        await wait_until(is_running, 10)
    daemon.send(signal.SIGTERM)
    code = await daemon.wait(12)

    finished = next(line for line in daemon.lines if line["event"] == "drain.finished")
    assert (code, finished["abandoned"]) == (1, 1)
    assert daemon.tracebacks() == []
