"""The short scenes: faults whose alerts come and go in half a minute, and calm without any."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from tests.live.panels import Query, all_queries
from tests.live.server import Series
from tests.live.site import Site
from tests.live.stage import LONELY, SCALE, Scene
from tests.postgres import make_database
from tests.waiting import a_moment, wait_until
from tirelessd.observe.labels import QUEUE_STATES

# Longer than the longest time for which a scaled alert of a healthy installation could be pending.
CALM_SECONDS: Final = 20.0
COUNT_SECONDS: Final = 20.0
HANDLERS: Final = "tests.live.handlers"

# What only the host of a shared store knows.
UNKNOWN: Final = ("tirelessd_store_wal_bytes", "tirelessd_store_free_bytes")
# The panels that an embedded store leaves empty, and others about stores.
STORE_QUERIES: Final = [
    query
    for query in all_queries()
    if "tirelessd_store_" in query.expression and not any(n in query.expression for n in UNKNOWN)
]


def python_queue(function: str, **more: object) -> dict[str, object]:
    """A queue that one of the odd handlers works on."""
    handler = {"type": "python", "function": f"{HANDLERS}:{function}", **more}
    return {"handler": {"attempt_timeout_seconds": 2, **handler}}


async def moved_file(site: Site) -> None:
    """The database is moved away under a daemon that has nothing to do, and put back."""
    await site.start()
    await site.submit_many(3)
    path, elsewhere = site.store_path(), site.folder / "elsewhere"
    began_at = site.now()
    path.rename(elsewhere)
    await site.fires("StoreDown", began_at)
    elsewhere.rename(path)
    await site.resolves("StoreDown", site.now())


async def deaf_handler(site: Site) -> None:
    """Every slot is held by a handler that neither ends nor listens, and more items are ready."""
    gate = site.folder / "gate"
    queue = python_queue("deaf", attempt_timeout_seconds=5)
    # What is promised shrinks with time as the rules do.
    promise = {"slots": 2, "slo": {"wait_seconds": 10 / SCALE}}
    await site.start(environment={"GATE": str(gate)}, queue={**queue, **promise})
    began_at = site.now()
    await site.submit_many(6)
    await site.fires("QueueStale", began_at)
    await site.fires("QueueStalled", began_at)
    gate.touch()
    mended_at = site.now()
    await site.resolves("QueueStalled", mended_at)
    await site.resolves("QueueStale", mended_at)


async def dead_process(site: Site) -> None:
    """The process is gone, and nobody starts it for a while."""
    await site.start()
    began_at = site.now()
    await site.daemons["pod-a"].kill()
    await site.fires("TargetDown", began_at)
    await site.fires("Absent", began_at)
    await site.start_again()
    await site.resolves("TargetDown", site.now())


async def gone_target(site: Site) -> None:
    """Nobody tells Prometheus of the process any more."""
    await site.start()
    await site.is_scraped()
    # Before there was a target, it was absent.
    await site.is_calm("Absent")
    began_at = site.now()
    site.forget()
    await site.fires("Absent", began_at)
    site.watch()
    await site.resolves("Absent", site.now())


async def paused_queue(site: Site) -> None:
    """Items wait because somebody wants them to."""
    await site.start()
    await site.call("POST", "/v1/queues/work/pause")
    await site.submit_many(8)
    await a_moment(CALM_SECONDS)


async def idle(site: Site) -> None:
    """There is nothing to do."""
    await site.start()
    await a_moment(CALM_SECONDS)


async def deploy(site: Site) -> None:
    """Two daemons are restarted one after the other, while callers go on."""
    over = asyncio.Event()
    await site.start("pod-a")
    await site.start("pod-b")
    callers = asyncio.gather(*(site.load(over, pod=pod) for pod in ("pod-a", "pod-b")))
    await a_moment(CALM_SECONDS / 4)
    for pod in ("pod-a", "pod-b"):
        await site.restart(pod)
        await a_moment(CALM_SECONDS / 4)
    over.set()
    await callers


async def two_stores(site: Site) -> None:
    """Two daemons on files of their own, one of which is scraped twice over."""
    for pod, delayed, dead, waiting in (("pod-a", 5, 2, 1), ("pod-b", 3, 1, 4)):
        await site.start(pod)
        await site.submit_many(delayed, pod=pod, **{"Tirelessd-Delay": "3600"})
        await site.submit_many(dead, "bad", pod=pod)
        await site.settled(pod=pod)
        await site.call("POST", "/v1/queues/work/pause", pod=pod)
        await site.submit_many(waiting, pod=pod)
    site.watch("pod-a", instance="pod-a-again")
    for instance in (*site.daemons, "pod-a-again"):
        await site.is_scraped(instance)
    # Of each store one daemon is asked: two that share one would both tell of all of it.
    pods = {series.labels["store"]: series.labels["instance"] for series in await stores(site)}
    counts = [await site.counts(pod=pod.removesuffix("-again")) for pod in pods.values()]
    totals = {state: sum(each[state] for each in counts) for state in QUEUE_STATES}

    async def is_counted() -> bool:
        site.notes["recorded"] = await recorded(site)
        return bool(site.notes["recorded"] == totals)

    site.notes["totals"] = totals
    with suppress(TimeoutError):
        await wait_until(is_counted, COUNT_SECONDS)
    each = await site.prometheus.query(
        f'store_queue_state:tirelessd_queue_items:max{{{site.mine},queue="work"}}'
    )
    site.notes["stores"] = len({series.labels["store"] for series in each})


async def shared_store(site: Site) -> None:
    """Two daemons on one database; either does what either has accepted."""
    url = await make_database()
    # As all servers of the tests it does not wait for its disk.
    unsafe = {"allow_unsafe_durability": True}
    for pod in ("pod-a", "pod-b"):
        await site.start(pod, store=url, store_postgresql=unsafe)
        await site.submit_many(4, pod=pod)
        await site.submit_many(2, "bad", pod=pod)
        await site.submit_many(5, pod=pod, **{"Tirelessd-Delay": "3600"})
    await site.settled()
    await site.call("POST", "/v1/queues/work/pause")
    await site.is_paused("pod-b")
    await site.submit_many(3, pod="pod-b")

    async def is_counted() -> bool:
        counts = await site.counts()
        site.notes["totals"] = {state: counts[state] for state in QUEUE_STATES}
        site.notes["recorded"] = await recorded(site)
        site.notes["silent"] = [
            query.place for query in STORE_QUERIES if not await is_number(site, query)
        ]
        site.notes["accepted"] = await site.total("tirelessd_items_accepted_total")
        return bool(
            site.notes["recorded"] == site.notes["totals"]
            and site.notes["totals"]["ready"] == 3
            and site.notes["accepted"] == site.sent
            and not site.notes["silent"]
        )

    with suppress(TimeoutError):
        await wait_until(is_counted, COUNT_SECONDS)
    site.notes["sent"] = site.sent
    site.notes["slots"] = await site.total("tirelessd_slots")
    site.notes["stores"] = len({series.labels["store"] for series in await stores(site)})


async def is_number(site: Site, query: Query) -> bool:
    """Whether what a panel asks for is there right now."""
    found = await site.prometheus.query(query.expression)
    return any(series.is_any_number for series in found)


async def stores(site: Site) -> list[Series]:
    """Which daemon works on which store, as Prometheus has it."""
    return await site.prometheus.query(f"tirelessd_store_up{{{site.mine}}}")


async def recorded(site: Site) -> dict[str, float]:
    """How many items of each state the recording rules tell of."""
    found = await site.prometheus.query(
        f'queue_state:tirelessd_queue_items:sum{{{site.mine},queue="work"}}'
    )
    return {series.labels["state"]: series.last for series in found}


TOTALS: Final = Scene("two-stores", "none: two daemons on two files", two_stores)
SHARED: Final = Scene("shared-store", "none: two daemons on one database", shared_store)
SHORT: Final[Sequence[Scene]] = (
    Scene("moved-file", "the database is moved away", moved_file, {"StoreDown"}),
    Scene(
        "deaf-handler",
        "a handler neither ends nor listens",
        deaf_handler,
        {"QueueStalled", "QueueStale"},
    ),
    Scene("dead-process", "the process is killed and stays away", dead_process, {"Absent"}),
    Scene("gone-target", "the target is gone from discovery", gone_target, {"Absent"}, job=LONELY),
    Scene("paused-queue", "none: a queue is paused", paused_queue, is_silent=True),
    Scene("idle", "none: nothing to do", idle, is_silent=True),
    Scene("deploy", "none: a rolling restart under load", deploy, is_silent=True),
)
