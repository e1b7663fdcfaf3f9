"""P1: the daemon is killed under load, again and again, and everything it promised is done."""

from __future__ import annotations

import asyncio
import random

from tests.faults.check import check_all, settle
from tests.faults.conftest import SLOTS, MakeDaemon
from tests.faults.ledger import Ledger, load
from tests.faults.upstream import Upstream
from tests.waiting import a_moment

KILLS = 3


async def test_killed_daemon_keeps_every_promise(
    make_daemon: MakeDaemon, ledger: Ledger, upstream: Upstream, seed: int
) -> None:
    """After kills at random moments every acknowledged item ends once, and no other appears."""
    source = random.Random(seed)
    daemon = make_daemon()
    await daemon.start()
    over = asyncio.Event()
    words = source.choices(["ok", "flaky", "bad"], [8, 1, 1], k=3_000)

    def url() -> str:
        return f"{daemon.urls.get('api', 'http://127.0.0.1:9')}/v1/queues/work/items"

    loading = asyncio.gather(
        load(ledger, url, rate=200, until=over, most=len(words), word=words.__getitem__)
    )
    for _ in range(KILLS):
        await a_moment(source.uniform(0.3, 1.5))
        await daemon.kill()
        await daemon.start()
    await a_moment(0.5)
    over.set()
    await loading

    books = await settle(daemon, ledger, upstream, kills=KILLS, slots=SLOTS)
    assert len(ledger.of("acked")) > 100
    check_all(books)
    assert daemon.tracebacks() == []
