"""What probes make of trouble: a pod that has some is left alone, one that hangs is replaced."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aiohttp
import apsw
import pytest

from tests.kubelet.callers import seen_by_callers
from tests.kubelet.cluster import Cluster
from tests.kubelet.spec import SPEED, Check, spec_of_chart
from tests.waiting import a_moment, wait_until

CAPACITY_ITEMS = 20
# A cluster that goes faster still, for its probes are what is waited for.
HASTE = 3.0
QUICK_GRACE_SECONDS = 1.0
BEFORE_SECONDS = 0.3

Trouble = Callable[[Cluster, float], Awaitable[None]]


async def paused_queue(cluster: Cluster, seconds: float) -> None:
    """Somebody wants the items to wait, until the queue is full."""
    async with aiohttp.ClientSession() as session:
        url = cluster.experiment.url("/v1/queues/work")
        async with session.post(f"{url}/pause") as response:
            assert response.status == 200
        await a_moment(seconds)
        async with session.post(f"{url}/resume") as response:
            assert response.status == 200


async def broken_upstream(cluster: Cluster, seconds: float) -> None:
    """Every attempt fails, until the queue is full."""
    cluster.experiment.upstream.outage_status = 500
    await a_moment(seconds)
    cluster.experiment.upstream.outage_status = 0


async def locked_store(cluster: Cluster, seconds: float) -> None:
    """Another program holds the lock of the file, so that nothing can be written."""
    db = apsw.Connection(str(cluster.experiment.store_path))
    db.execute("BEGIN IMMEDIATE")
    await a_moment(seconds)
    db.execute("ROLLBACK")
    db.close()


async def frozen_process(cluster: Cluster, _seconds: float) -> None:
    """The node stops the process for nearly as long as liveness bears it."""
    check = cluster.spec.liveness
    cluster.experiment.daemon.send(signal.SIGSTOP)
    await a_moment(check.period_seconds * (check.failures - 1))
    cluster.experiment.daemon.send(signal.SIGCONT)


async def all_but_the_last(cluster: Cluster, seconds: float) -> None:
    """The upstream is broken, then the store besides."""
    async with asyncio.TaskGroup() as group:
        group.create_task(broken_upstream(cluster, seconds))
        group.create_task(locked_store(cluster, seconds))


@pytest.fixture
def quick(cluster: Cluster) -> Cluster:
    """The cluster, its probes in haste."""
    cluster.spec = spec_of_chart().at(SPEED * HASTE)
    return cluster


def limit_seconds(check: Check) -> float:
    """How long a probe may fail before the container is killed, with something to spare."""
    return check.failures * (check.period_seconds + check.timeout_seconds) * 1.2


@pytest.mark.parametrize(
    "trouble",
    [
        all_but_the_last,
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in (paused_queue, broken_upstream, locked_store, frozen_process)
        ),
    ],
)
async def test_trouble_around_it_restarts_no_pod(quick: Cluster, trouble: Trouble) -> None:
    """However long it lasts, for liveness knows of nothing but the event loop."""
    pod = await quick.install(queue={"capacity_items": CAPACITY_ITEMS})
    await pod.wait_ready()

    async with quick.callers(rate=30.0):
        await trouble(quick, limit_seconds(quick.spec.liveness))
        await pod.wait_ready()

    seen = seen_by_callers(quick.experiment.ledger.entries)
    assert (pod.restarts, pod.probe_failures) == (0, {})
    assert set(seen.answers) <= {"202", "503", "refused"}


@pytest.mark.long
async def test_hanging_pod_is_killed_and_its_items_survive(quick: Cluster) -> None:
    """SIGTERM does not reach it, SIGKILL ends its grace, and the next container takes over."""
    quick.spec = quick.spec.with_closing(QUICK_GRACE_SECONDS)
    pod = await quick.install()
    await pod.wait_ready()

    async with quick.callers():
        await a_moment(BEFORE_SECONDS)
        quick.experiment.daemon.send(signal.SIGSTOP)
        await pod.wait_restarted()
        await pod.wait_ready()

    # What had been answered just before it froze is repeated, but long before it was killed; and it
    # did not answer the rig's probes either.
    books = await quick.finish(without=("I4", "I9"))
    assert books.duplicates <= books.slots
    assert [ending.was_killed for ending in pod.endings] == [True]
    assert pod.probe_failures == {"/livez": 1}


@pytest.mark.long
async def test_pod_that_outstays_its_grace_is_killed_and_loses_nothing(quick: Cluster) -> None:
    """A grace shorter than its drain needs costs repeated work, and nothing else."""
    quick.spec = quick.spec.with_closing(-quick.spec.drain_seconds)
    pod = await quick.install(
        drain_seconds=30.0, queue={"handler": {"attempt_timeout_seconds": 60}}
    )
    await pod.wait_ready()

    async with quick.callers():
        await hang_a_slot(quick)
        ending = await quick.roll_out()
        quick.experiment.upstream.let_go.set()

    await quick.finish()
    assert ending.was_killed


async def hang_a_slot(cluster: Cluster) -> None:
    """Have one attempt that the upstream does not answer."""
    experiment = cluster.experiment
    async with aiohttp.ClientSession() as session:
        await experiment.ledger.submit(session, experiment.url(), "hang")

    async def is_hanging() -> bool:
        return experiment.upstream.hanging > 0

    await wait_until(is_hanging, 10)


async def test_bad_configuration_backs_off_until_it_is_mended(quick: Cluster) -> None:
    """Each container ends with 2 and one line; the waits double, up to a most; then it is ready."""
    quick.spec = replace(quick.spec, back_off_seconds=0.05, back_off_cap_seconds=0.1)
    pod = await quick.install(log={"level": "loud"})
    await pod.wait_restarted(3)

    quick.configure(log={"level": "info"})
    await pod.wait_ready()

    assert pod.waits[:3] == [0.05, 0.1, 0.1]
    assert {ending.code for ending in pod.endings} == {2}
    assert len(quick.experiment.daemon.stray_output) == len(pod.endings)
    assert {"log.level" in line for line in quick.experiment.daemon.stray_output} == {True}
