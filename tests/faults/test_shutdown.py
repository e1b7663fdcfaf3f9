"""P3 and P4: a signal ends the daemon in time, in order, and without losing or repeating work."""

from __future__ import annotations

import asyncio
import signal

import aiohttp

from tests.faults.check import check_all, settle
from tests.faults.conftest import DRAIN_SECONDS, PRE_DRAIN_SECONDS, SLOTS, MakeDaemon
from tests.faults.ledger import Ledger, load
from tests.faults.process import DaemonProcess
from tests.faults.upstream import Upstream
from tests.waiting import a_moment, wait_until


def items_url(daemon: DaemonProcess) -> str:
    """Where the daemon takes items."""
    return f"{daemon.urls['api']}/v1/queues/work/items"


async def test_sigterm_under_load_loses_and_repeats_nothing(
    make_daemon: MakeDaemon, ledger: Ledger, upstream: Upstream
) -> None:
    """Unready at once, intake goes on through the pre-drain, then 503; exit 0, no duplicate."""
    daemon = make_daemon()
    await daemon.start()
    over = asyncio.Event()
    loading = asyncio.gather(
        load(ledger, lambda: items_url(daemon), rate=200, until=over, most=1_500)
    )
    await a_moment(0.7)

    daemon.send(signal.SIGTERM)
    accepted_before = len(ledger.of("acked"))
    async with aiohttp.ClientSession() as session:

        async def is_unready() -> bool:
            return await daemon.probe(session) == 503

        await wait_until(is_unready, 0.5)
        assert await daemon.probe(session, "/livez") == 200
    code = await daemon.wait(PRE_DRAIN_SECONDS + DRAIN_SECONDS + 2)
    over.set()
    await loading

    assert code == 0
    assert len(ledger.of("acked")) > accepted_before
    assert {entry.status for entry in ledger.of("refused")} <= {503, 0}
    assert ledger.of("ambiguous") == []
    assert daemon.tracebacks() == []

    await daemon.start()
    books = await settle(daemon, ledger, upstream, kills=0, slots=SLOTS)
    check_all(books)


async def hang_all_slots(daemon: DaemonProcess, ledger: Ledger, upstream: Upstream) -> None:
    """Fill every slot with an attempt that the upstream does not answer."""
    async with aiohttp.ClientSession() as session:
        for _ in range(SLOTS):
            await ledger.submit(session, items_url(daemon), "hang")

    async def all_hang() -> bool:
        return upstream.hanging >= SLOTS

    await wait_until(all_hang, 10)


async def test_sigterm_with_hanging_attempts_releases_them(
    make_daemon: MakeDaemon, ledger: Ledger, upstream: Upstream
) -> None:
    """What does not end within the drain is released, and delivered after the restart."""
    daemon = make_daemon(drain_seconds=1.0)
    use_long_attempts(daemon, attempt_timeout_seconds=60)
    await daemon.start()
    await hang_all_slots(daemon, ledger, upstream)

    daemon.send(signal.SIGTERM)
    code = await daemon.wait(PRE_DRAIN_SECONDS + 1.0 + 3)

    assert code == 0
    upstream.let_go.set()
    upstream.hits.clear()
    await daemon.start()
    books = await settle(daemon, ledger, upstream, kills=0, slots=SLOTS)
    check_all(books)
    assert {item["attempts"] for item in books.items.values()} == {1}


async def test_second_signal_exits_at_once(
    make_daemon: MakeDaemon, ledger: Ledger, upstream: Upstream
) -> None:
    """SIGINT, then SIGTERM: the second one ends the daemon, with its own number as the code."""
    daemon = make_daemon(drain_seconds=60.0)
    use_long_attempts(daemon, attempt_timeout_seconds=60)
    await daemon.start()
    await hang_all_slots(daemon, ledger, upstream)

    daemon.send(signal.SIGINT)
    await a_moment(0.5)
    daemon.send(signal.SIGTERM)
    code = await daemon.wait(1)

    assert code == 128 + signal.SIGTERM
    upstream.let_go.set()
    await daemon.start()
    books = await settle(daemon, ledger, upstream, kills=1, slots=SLOTS)
    check_all(books)


def use_long_attempts(daemon: DaemonProcess, *, attempt_timeout_seconds: float) -> None:
    """Let attempts outlast the drain."""
    text = daemon.config_path.read_text()
    daemon.config_path.write_text(
        text.replace(
            "attempt_timeout_seconds: 2", f"attempt_timeout_seconds: {attempt_timeout_seconds}"
        )
    )
