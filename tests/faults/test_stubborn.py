"""P8: a handler that never ends cannot hold the daemon's shutdown, nor its own item."""

from __future__ import annotations

import signal

import aiohttp
import pytest

from tests.faults.conftest import MakeDaemon
from tests.faults.ledger import Ledger
from tests.waiting import wait_until

pytestmark = pytest.mark.unhurried


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


async def test_news_of_abandoned_items_waits_for_a_scrape(
    make_daemon: MakeDaemon, ledger: Ledger
) -> None:
    """Whoever scrapes learns of it from the last scrape, and the process ends right after."""
    handler = {"type": "python", "function": "tests.model:block"}
    queues = {"work": {"handler": handler, "slots": 1}}
    ops = {"port": 0, "last_scrape_seconds": 60}
    daemon = make_daemon(drain_seconds=0.5, pre_drain_seconds=0, queues=queues, ops=ops)
    await daemon.start()
    async with aiohttp.ClientSession() as session:
        await ledger.submit(session, f"{daemon.urls['api']}/v1/queues/work/items", "ok")

        async def scrape() -> str:
            async with session.get(f"{daemon.urls['ops']}/metrics") as response:
                return await response.text()

        async def is_running() -> bool:
            return 'tirelessd_slots_busy{queue="work"} 1.0' in await scrape()

        async def has_drained() -> bool:
            return "drain.finished" in {line["event"] for line in daemon.lines}

        await wait_until(is_running, 10)
        daemon.send(signal.SIGTERM)
        await wait_until(has_drained, 10)
        last = await scrape()
        code = await daemon.wait(12)

    assert code == 1
    assert 'tirelessd_drain_items_total{result="abandoned"} 1.0' in last
