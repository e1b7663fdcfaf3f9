"""The long scenes: every alert that a fault can fire here, up to some minutes each."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import apsw
from aiohttp import web

from tests.faults.upstream import Hit
from tests.live.scenes import python_queue
from tests.live.server import free_port
from tests.live.site import Site
from tests.live.stage import SCALE, Scene
from tests.waiting import a_moment
from tirelessd.core.queue import CANARY

DELAY: Final = {"Tirelessd-Delay": "3600"}
EAGER: Final[dict[str, Any]] = {
    "max_attempts": 1_000,
    "initial_seconds": 0.3,
    "cap_seconds": 0.5,
}
HANDLER: Final = {"destination": "model", "attempt_timeout_seconds": 1}


@asynccontextmanager
async def calling(site: Site, word: str = "ok", *, seconds: float = 0.1) -> AsyncIterator[None]:
    """Callers go on as long as it is entered."""
    over = asyncio.Event()
    task = asyncio.get_running_loop().create_task(site.load(over, word, seconds_between=seconds))
    try:
        yield
    finally:
        over.set()
        await task


async def all_fire(site: Site, since: float, *alerts: str) -> None:
    """Wait for each; the order is that of the answers."""
    await asyncio.gather(*(site.fires(each, since) for each in alerts))


async def all_resolve(site: Site, since: float, *alerts: str) -> None:
    """Wait for the end of each."""
    await asyncio.gather(*(site.resolves(each, since) for each in alerts))


async def failing_upstream(site: Site) -> None:
    """Every answer is a 500."""
    await site.start(queue={"handler": HANDLER, "retry": EAGER})
    began_at = site.now()
    site.upstream.outage_status = 500
    await site.submit_many(15)
    await all_fire(site, began_at, "UpstreamDown", "RetryStorm")
    site.upstream.outage_status = 0
    mended_at = site.now()
    async with calling(site):
        await all_resolve(site, mended_at, "UpstreamDown", "RetryStorm")


async def throttling_upstream(site: Site) -> None:
    """Every answer is a 429 that says when to come back."""
    answers = {"status": 429}

    async def answer(_hit: Hit) -> web.Response:
        return web.Response(status=answers["status"], headers={"Retry-After": "1"})

    site.upstream.script["busy"] = answer
    await site.start(queue={"handler": HANDLER, "retry": EAGER})
    began_at = site.now()
    await site.submit_many(15, "busy")
    await all_fire(site, began_at, "UpstreamThrottling")
    answers["status"] = 200
    await all_resolve(site, site.now(), "UpstreamThrottling")


async def hanging_upstream(site: Site) -> None:
    """No answer ever comes; every attempt runs into its limit."""
    promise = {"slots": 2, "slo": {"wait_seconds": 10 / SCALE}}
    await site.start(queue={"handler": HANDLER, "retry": EAGER, **promise})
    began_at = site.now()
    await site.submit_many(40, "hang")
    await all_fire(site, began_at, "QueueStale", "UpstreamDown")
    site.upstream.let_go.set()
    mended_at = site.now()
    async with calling(site):
        await all_resolve(site, mended_at, "QueueStale", "UpstreamDown")


async def broken_promises(site: Site) -> None:
    """Items end, but far later than was promised."""
    slo = {"wait_seconds": 0.05, "end_to_end_seconds": 0.05, "objective": 0.99}
    site.upstream.delay_seconds = 0.2
    await site.start(queue={"handler": HANDLER, "slo": slo})
    began_at = site.now()
    async with calling(site):
        await site.fires("ErrorBudgetBurn", began_at, window="1h")
        site.upstream.delay_seconds = 0
        await site.resolves("ErrorBudgetBurn", site.now(), window="1h")


async def dead_letters(site: Site) -> None:
    """The upstream wants none of it; then somebody looks after what is dead."""
    await site.start(queue={"handler": HANDLER})
    began_at = site.now()
    await site.submit_many(10)
    await site.submit_many(7, "bad")
    async with calling(site, "bad", seconds=1.0):
        await all_fire(site, began_at, "DeadLettersNew", "GiveUpBudgetBurn")
    mended_at = site.now()
    await all_resolve(site, mended_at, "GiveUpBudgetBurn", "DeadLettersNew")
    await site.fires("DeadLettersUnattended", began_at)
    mended_at = site.now()
    await site.call("DELETE", "/v1/dead-letters", params={"all": "true"})
    await site.resolves("DeadLettersUnattended", mended_at)


async def locked_store(site: Site) -> None:
    """Another program holds the database's write lock while callers go on."""
    await site.start()
    other = apsw.Connection(str(site.store_path()))
    async with calling(site):
        await a_moment(3)
        began_at = site.now()
        other.execute("BEGIN IMMEDIATE")
        await all_fire(site, began_at, "StoreDown", "IntakeErrorBudgetBurn", "StoreErrors")
        other.execute("ROLLBACK")
        other.close()
        await all_resolve(site, site.now(), "StoreDown", "IntakeErrorBudgetBurn", "StoreErrors")


async def renamed_table(site: Site) -> None:
    """Somebody renames the table of items, so that nothing can be counted, claimed or swept."""
    await site.start()
    await site.submit_many(3)
    await site.settled()
    other = apsw.Connection(str(site.store_path()))
    began_at = site.now()
    other.execute("ALTER TABLE items RENAME TO elsewhere")
    await all_fire(site, began_at, "SnapshotStale", "BackgroundTaskDead")
    other.execute("ALTER TABLE elsewhere RENAME TO items")
    other.close()
    await all_resolve(site, site.now(), "SnapshotStale", "BackgroundTaskDead")


async def slow_disk(site: Site) -> None:
    """Every flush takes most of a second."""
    daemon = await site.start()
    strace = shutil.which("strace")
    assert strace, "strace is needed for this scene"
    async with calling(site):
        began_at = site.now()
        tracer = await asyncio.create_subprocess_exec(
            *(strace, "-f", "-qq", "-p", str(daemon.pid), "-e", "trace=fdatasync"),
            *("-e", "inject=fdatasync:delay_exit=600000"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await site.fires("StoreSlow", began_at)
        tracer.terminate()
        await tracer.wait()
        await site.resolves("StoreSlow", site.now())


async def blocked_loop(site: Site) -> None:
    """A handler holds up the event loop again and again."""
    await site.start(queue=python_queue("block"))
    began_at = site.now()
    async with calling(site, seconds=0.7):
        await site.fires("EventLoopBlocked", began_at)
    await site.resolves("EventLoopBlocked", site.now())


async def stuck_attempt(site: Site) -> None:
    """A handler goes on for ever, whatever its limit; the rest of the slots do the work."""
    gate = site.folder / "gate"
    queue = python_queue("deaf", attempt_timeout_seconds=0.3)
    await site.start(environment={"GATE": str(gate)}, queue=queue)
    began_at = site.now()
    await site.submit_many(1)
    await site.fires("ItemStuckRunning", began_at)
    gate.touch()
    await site.resolves("ItemStuckRunning", site.now())


async def abandoned_drain(site: Site) -> None:
    """A handler outlasts the drain, and the process ends without it; then it is started again."""
    gate = site.folder / "gate"
    ops = {"port": free_port(), "last_scrape_seconds": 10}
    queue = python_queue("deaf")
    await site.start(environment={"GATE": str(gate)}, queue=queue, drain_seconds=0.5, ops=ops)
    await site.submit_many(1)
    await site.is_scraped()
    began_at = site.now()
    await site.stop()
    gate.touch()
    await site.start_again()
    await site.fires("DrainAbandoned", began_at)
    await site.resolves("DrainAbandoned", site.now())


async def poison(site: Site) -> None:
    """An item ends the process whenever it is attempted, and a supervisor starts that again.

    A start takes a minute of a time that runs sixty times faster, so hardly a look finds it up.
    """
    await site.start(queue=python_queue("die"), drain_seconds=0)
    began_at = site.now()
    over = asyncio.Event()
    supervisor = asyncio.get_running_loop().create_task(supervise(site, over))
    await site.submit("ok")
    await site.fires("DeadLettersNew", began_at)
    # What is still there would go on: it is looked after as its runbook says.
    over.set()
    await supervisor
    await site.resolves("DeadLettersNew", site.now())


async def crash_loop(site: Site) -> None:
    """The process is killed as soon as it is there, and started again."""
    daemon = await site.start()
    await site.is_scraped()
    began_at = site.now()
    for _ in range(6):
        await daemon.kill()
        await daemon.start()
        await a_moment(1.5)
    await site.fires("Restarting", began_at)
    await site.resolves("Restarting", site.now())


async def killed_at_work(site: Site) -> None:
    """The process is killed while all slots are busy, and started again."""
    await site.start(queue={"handler": {**HANDLER, "attempt_timeout_seconds": 20}, "slots": 8})
    await site.submit_many(8, "hang")
    await a_moment(2)
    began_at = site.now()
    await site.daemons["pod-a"].kill()
    site.upstream.let_go.set()
    await site.start_again()
    await site.fires("LeasesExpiring", began_at)
    await site.resolves("LeasesExpiring", site.now())


async def supervise(site: Site, over: asyncio.Event) -> None:
    """Start the daemon again whenever it has ended."""
    daemon = site.daemons["pod-a"]
    while not over.is_set():
        if not daemon.is_running:
            await daemon.wait(5)
            with suppress(AssertionError):
                await site.start_again()
        await a_moment(0.2)


async def no_slots(site: Site) -> None:
    """A queue with items in it is taken out of the configuration."""
    daemon = await site.start(queue={"handler": HANDLER, "retry": EAGER})
    before = daemon.config_path.read_text()
    await site.submit_many(3, "fail")
    await site.stop()
    daemon.config_path.write_text(before.replace("  work:", "  other:"))
    began_at = site.now()
    await site.start_again()
    await site.fires("NoSlots", began_at)
    await site.stop()
    daemon.config_path.write_text(before)
    mended_at = site.now()
    await site.start_again()
    await site.resolves("NoSlots", mended_at)


async def full_queue(site: Site) -> None:
    """More is handed in than the queue holds, and callers go on."""
    await site.start(queue={"capacity_items": 10})
    began_at = site.now()
    await site.submit_many(9, **DELAY)
    await site.fires("QueueNearCapacity", began_at)
    _, page = await site.call("GET", "/v1/queues/work/items")
    for each in page["items"]:
        await site.call("DELETE", f"/v1/items/{each['id']}")
    await site.resolves("QueueNearCapacity", site.now())


async def too_few_slots(site: Site) -> None:
    """A little more comes in than one slot can do."""
    site.upstream.delay_seconds = 0.5
    await site.start(queue={"handler": HANDLER, "slots": 1})
    began_at = site.now()
    await site.submit_many(3)
    async with calling(site, seconds=0.42):
        await all_fire(site, began_at, "SlotsSaturated", "BacklogWillBreach")
    site.upstream.delay_seconds = 0
    await all_resolve(site, site.now(), "SlotsSaturated", "BacklogWillBreach")


async def foreign_target(site: Site) -> None:
    """Something else answers where a daemon should."""
    app = web.Application()

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text="other_total 1\n")

    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    labels = {"cluster": "live", "namespace": site.namespace, "instance": "pod-a"}
    began_at = site.now()
    site.prometheus.watch(f"{host}:{port}", **labels)
    await site.fires("MetricsMissing", began_at)
    site.prometheus.forget(f"{host}:{port}")
    await runner.cleanup()
    await site.resolves("MetricsMissing", site.now())


async def half_a_rollout(site: Site) -> None:
    """One of two daemons has another configuration, and it stays so."""
    await site.start("pod-a")
    began_at = site.now()
    await site.start("pod-b", queue={"slots": 3})
    await site.fires("ConfigSkew", began_at)
    await site.stop("pod-b")
    site.forget("pod-b")
    await site.resolves("ConfigSkew", site.now())


async def lost_canary(site: Site) -> None:
    """The canary's own queue is paused in the database; nothing else is the matter."""
    await site.start(canary={"interval_seconds": 1})
    other = apsw.Connection(str(site.store_path()))
    other.set_busy_timeout(2_000)
    async with calling(site):
        await a_moment(3)
        began_at = site.now()
        other.execute("INSERT INTO pauses VALUES (?, NULL)", (CANARY,))
        await site.fires("CanaryFailing", began_at)
        other.execute("DELETE FROM pauses")
        other.close()
        await site.resolves("CanaryFailing", site.now())


async def frozen_process(site: Site) -> None:
    """The process does not run for a while, as on an overloaded machine."""
    daemon = await site.start()
    began_at = site.now()
    os.kill(daemon.pid, signal.SIGSTOP)
    await site.fires("TargetDown", began_at)
    await site.fires("Absent", began_at)
    os.kill(daemon.pid, signal.SIGCONT)
    await site.resolves("TargetDown", site.now())


async def many_names(site: Site) -> None:
    """More upstreams have names than are told apart."""
    handler = {"type": "http", "url": site.upstream.url}
    queues = {
        f"q{each}": {"handler": {**handler, "destination": f"d{each}"}, "slots": 1}
        for each in range(52)
    }
    began_at = site.now()
    await site.start(queues=queues)
    for each in range(52):
        await site.submit(queue=f"q{each}")
    await site.fires("LabelOverflow", began_at)
    await site.resolves("LabelOverflow", site.now())


LONG: Final[Sequence[Scene]] = (
    Scene("failing-upstream", "the upstream answers 500", failing_upstream),
    Scene("throttling-upstream", "the upstream answers 429", throttling_upstream),
    # Of what waits behind the hanging ones, all was promised to wait less.
    Scene(
        "hanging-upstream",
        "the upstream answers nothing",
        hanging_upstream,
        {"QueueStale", "ErrorBudgetBurn"},
    ),
    Scene("broken-promises", "items end late", broken_promises, {"ErrorBudgetBurn"}),
    Scene(
        "dead-letters",
        "the upstream refuses items for good",
        dead_letters,
        {"GiveUpBudgetBurn", "ErrorBudgetBurn"},
    ),
    Scene(
        "locked-store",
        "another program locks the database, under load",
        locked_store,
        {"StoreDown", "IntakeErrorBudgetBurn"},
    ),
    Scene("renamed-table", "a table is renamed by somebody", renamed_table, {"StoreDown"}),
    # Where a commit waits for another one, its caller is refused after a second.
    Scene("slow-disk", "each flush takes 0.6 s", slow_disk, {"IntakeErrorBudgetBurn"}),
    Scene("blocked-loop", "a handler blocks the event loop", blocked_loop),
    Scene("stuck-attempt", "an attempt never ends", stuck_attempt),
    Scene("abandoned-drain", "a handler outlasts the drain", abandoned_drain),
    Scene("crash-loop", "the process is killed again and again", crash_loop),
    Scene("killed-at-work", "the process is killed with all slots busy", killed_at_work),
    Scene("poison", "an item kills the process again and again", poison, {"Absent"}),
    Scene("no-slots", "a queue with items is in no configuration", no_slots, {"NoSlots"}),
    Scene("full-queue", "a queue fills up", full_queue),
    Scene("too-few-slots", "more comes in than the slots can do", too_few_slots),
    Scene("foreign-target", "something else answers at the address", foreign_target),
    Scene("half-a-rollout", "two configurations are in use", half_a_rollout),
    Scene("lost-canary", "the canary is held up", lost_canary, {"CanaryFailing"}),
    Scene("frozen-process", "the process is stopped for a while", frozen_process, {"Absent"}),
    Scene("many-names", "more upstreams than metrics tell apart", many_names),
)
