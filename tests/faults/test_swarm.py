"""P11: several faults at once, drawn by a seed, on a daemon whose options are drawn too."""

from __future__ import annotations

import asyncio
import os
import random
import sys

import aiohttp
import pytest

from tests.faults.database import make_database
from tests.faults.experiment import Experiment
from tests.faults.injectors import EMBEDDED, SHARED, Injector, Scene
from tests.faults.proxy import Proxy
from tests.postgres import PostgresServer
from tests.waiting import a_moment

SEEDS = int(os.environ.get("FAULTS_SEEDS") or 20)
SECONDS = float(os.environ.get("FAULTS_SECONDS") or 60)
WORDS = {"ok": 80, "flaky": 10, "slow": 5, "bad": 4, "fail": 1}
# A single slot does hardly forty items of these words a second.
ITEMS_PER_SLOT = 8


@pytest.mark.row("P11")
@pytest.mark.soak
@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", range(SEEDS))
async def test_swarm_of_faults_breaks_no_promise(
    experiment: Experiment, server: PostgresServer, number: int
) -> None:
    """Whatever happens at once, nothing is lost, repeated without a crash, or made up.

    Every other time the store is a shared one.
    """
    source = experiment.source
    injectors = EMBEDDED
    if number % 2:
        injectors, experiment.database = SHARED, await make_database(server)
    slots, lease_seconds = source.randint(1, 128), source.uniform(2, 20)
    chosen = source.sample(sorted(injectors), 3)
    sys.stdout.write(f"slots {slots}, lease {lease_seconds:.1f} s, faults {chosen}\n")

    async with (
        Proxy(lambda: port_of(experiment)) as front,
        Proxy(experiment.upstream.port) as back,
    ):
        queue = {"slots": slots, "lease_seconds": lease_seconds, "handler": {"url": back.url}}
        await experiment.start(queue=queue)
        scene = Scene(experiment, front, back)
        rate = min(200.0, slots * ITEMS_PER_SLOT)
        async with experiment.load(rate=rate, word=WORDS, port=front.port):
            await let_loose(scene, [injectors[name] for name in chosen], rate)
            await experiment.heal(30)
        await experiment.finish(without={"I6", "I9"})


def port_of(experiment: Experiment) -> int:
    """Where the API listens now; nowhere while there is no daemon."""
    return int(experiment.url("").rpartition(":")[2])


async def let_loose(scene: Scene, injectors: list[Injector], rate: float) -> None:
    """Each injector strikes again and again, batches come in beside; then all have healed."""
    over_at = asyncio.get_running_loop().time() + SECONDS
    source = scene.experiment.source

    async def strike(injector: Injector, own: random.Random) -> None:
        while (left := over_at - asyncio.get_running_loop().time()) > 0:
            await a_moment(min(left, own.uniform(0.5, 6.0)))
            await injector(scene, own)

    async with asyncio.TaskGroup() as group:
        for injector in injectors:
            group.create_task(strike(injector, random.Random(source.random())))
        group.create_task(send_batches(scene, over_at, rate, random.Random(source.random())))


async def send_batches(scene: Scene, over_at: float, rate: float, source: random.Random) -> None:
    """Now and then a batch, of as many lines as may be done in a few seconds."""
    experiment = scene.experiment
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while asyncio.get_running_loop().time() < over_at:
            words = ["ok"] * source.randint(1, min(500, int(2 * rate)))
            url = experiment.url("/v1/queues/work/batch")
            await experiment.ledger.submit_batch(session, url, words)
            await a_moment(source.uniform(3, 10))
