"""S6: the disk is slow, hangs, or fails one call and not the next."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.faults.conduct import check_latency, check_refusals_are_quick
from tests.faults.experiment import DRAIN_SECONDS, PRE_DRAIN_SECONDS, Experiment
from tests.faults.mounts import needed
from tests.faults.process import DaemonProcess
from tests.waiting import a_moment, wait_until

pytestmark = [pytest.mark.row("S6"), pytest.mark.long, pytest.mark.timeout(240)]

CALLS = ("fdatasync", "pwrite64", "ftruncate")
SWEEP = 30
GRACE_SECONDS = PRE_DRAIN_SECONDS + DRAIN_SECONDS + 5.0


@asynccontextmanager
async def injected(experiment: Experiment, *rules: str) -> AsyncIterator[Process]:
    """While entered, strace makes system calls of the daemon fail or wait by these rules."""
    needed("strace")
    calls = ",".join(rule.partition(":")[0] for rule in rules)
    process = await asyncio.create_subprocess_exec(
        "strace",
        "--follow-forks",
        f"--attach={experiment.daemon.pid}",
        f"--output={experiment.folder / 'trace'}",
        f"--trace={calls}",
        *[f"--inject={rule}" for rule in rules],
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        await wait_until(lambda: is_traced(experiment), 10)
    except TimeoutError:
        pytest.skip("strace may not attach to a process here")
    yield process
    if process.returncode is None:
        process.terminate()
    await asyncio.wait_for(process.wait(), 30)


async def is_traced(experiment: Experiment) -> bool:
    """Whether every thread of the daemon has its tracer."""
    return "TracerPid:\t0\n" not in told(f"/proc/{experiment.daemon.pid}/status")


def told(path: str) -> str:
    """What the kernel says in one of its files."""
    return Path(path).read_text(encoding="ascii")


def has_unknown(experiment: Experiment) -> bool:
    """Whether a caller was told that nobody knows, which no count can include."""
    return any(e.answer.get("accepted") == "unknown" for e in experiment.ledger.entries)


async def test_slow_disk_is_shared_by_many(experiment: Experiment) -> None:
    """With 200 ms more a flush, group commit still takes every submission, within 700 ms.

    It takes as many connections as submissions wait at once: sixteen could not carry the load.
    """
    await experiment.start()
    loop = asyncio.get_running_loop()

    async with experiment.load(rate=300, connections=256):
        await a_moment(3.0)
        async with injected(experiment, "fdatasync:delay_exit=200000"):
            await a_moment(2.0)
            began_at, before = loop.time(), len(experiment.ledger.of("acked"))
            await a_moment(25.0)
            taken = len(experiment.ledger.of("acked")) - before
            ended_at = loop.time()
        await experiment.heal(30)  # what gathered meanwhile goes first

    books = await experiment.finish()
    assert taken / (ended_at - began_at) >= 290
    check_latency(books, 0.7, since=began_at, until=ended_at)


@pytest.mark.parametrize(
    "rule",
    [
        "fdatasync:error=EIO:when=20+20",
        "fdatasync:error=EIO",
        "pwrite64:error=EIO:when=50+50",
        "pwrite64:error=ENOSPC:when=7+7",
        "openat:error=EMFILE",
        "openat:error=EIO",
        "newfstatat:error=EIO",
        "fstat:error=EIO:when=3+3",
        "mmap:error=ENOMEM:when=2+2",
        "ftruncate:error=EIO",
        "pread64:error=EIO:when=20+20",
    ],
)
async def test_failing_calls_break_no_promise(experiment: Experiment, rule: str) -> None:
    """Nothing is acknowledged that did not become durable; afterwards all goes on by itself."""
    await experiment.start()

    # Under strace every call of the daemon costs a few times as much, so the load is lighter.
    async with experiment.load(rate=100):
        await a_moment(1.0)
        async with injected(experiment, rule):
            await a_moment(4.0)
        await experiment.heal(5)

    books = await experiment.finish(without={"I6"} if has_unknown(experiment) else ())
    check_refusals_are_quick(books)


@pytest.mark.parametrize("call", CALLS)
async def test_any_single_call_may_fail(experiment: Experiment, call: str) -> None:
    """Only the N-th fails, for every N up to thirty, now with EIO and now with ENOSPC."""
    await experiment.start()

    async with experiment.load(rate=100):
        for number in range(1, SWEEP + 1):
            error = "EIO" if number % 2 else "ENOSPC"
            async with injected(experiment, f"{call}:error={error}:when={number}"):
                await a_moment(0.8)
        await experiment.heal(5)

    await experiment.finish(without={"I6"} if has_unknown(experiment) else ())


async def test_hanging_disk_keeps_nobody_waiting(experiment: Experiment) -> None:
    """A flush of twenty seconds: everybody is answered within one, and then it goes on."""
    await experiment.start()

    # As many as come while it hangs, or what is measured is the wait for one of the load's own.
    async with experiment.load(connections=400):
        await a_moment(3.0)
        async with injected(experiment, "fdatasync:delay_enter=20000000:when=5"):
            await a_moment(10.0)
            unready = await experiment.watch.ask("/readyz")
            await a_moment(13.0)
        await experiment.heal(5)

    books = await experiment.finish()
    assert "does not answer in time" in unready
    check_refusals_are_quick(books)


async def test_daemon_leaves_a_hanging_disk_in_time(experiment: Experiment) -> None:
    """Told to end while a flush hangs, it does so within its grace, and loses nothing."""
    daemon = await experiment.start()
    async with experiment.load():
        await a_moment(1.0)
        async with injected(experiment, "fdatasync:delay_enter=30000000"):
            await a_moment(1.0)
            seconds = await ended_in(experiment)
            assert seconds <= GRACE_SECONDS
        await daemon.wait(60)
        await daemon.start()
        await experiment.heal(5)

    # Outcomes of before the hang were never written, and the end came long after it.
    await experiment.finish(without={"I4", "I6"})


async def has_left(daemon: DaemonProcess) -> bool:
    """Whether the daemon has called it a day: what a hanging call keeps of it, nobody can end."""
    return any(line.get("event") == "tasks.left_behind" for line in daemon.lines)


async def ended_in(experiment: Experiment) -> float:
    """The seconds until the daemon was gone after it was told to end."""
    began_at = asyncio.get_running_loop().time()
    experiment.daemon.send(signal.SIGTERM)
    await wait_until(lambda: has_left(experiment.daemon), 2 * GRACE_SECONDS)
    return asyncio.get_running_loop().time() - began_at


async def test_start_on_a_hanging_disk_can_be_given_up(experiment: Experiment) -> None:
    """While the database cannot be opened, the probes say so, and a signal ends the process."""
    needed("strace")
    trace = f"--output={experiment.folder / 'trace'}"
    rule = "--inject=fdatasync:delay_enter=30000000"
    prefix = ("strace", "--follow-forks", "--seccomp-bpf", trace, "--trace=fdatasync", rule)
    daemon = experiment.make_daemon(prefix=prefix)
    await daemon.launch()

    async with aiohttp.ClientSession() as session:

        async def is_starting() -> bool:
            return "ops" in daemon.urls and await daemon.probe(session, "/startupz") == 503

        await wait_until(is_starting, 20)
        assert await daemon.probe(session, "/livez") == 200
    [child] = told(f"/proc/{daemon.pid}/task/{daemon.pid}/children").split()
    os.kill(int(child), signal.SIGTERM)
    await wait_until(lambda: has_left(daemon), 10)
    await daemon.wait(60)
