"""D3: the database says nothing at all, for its server stands still or the network drops it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.database import Database
from tests.faults.experiment import Experiment, Scale
from tests.faults.mounts import needed, run
from tests.faults.shared import (
    CALLERS,
    HEALED_SECONDS,
    MIXED,
    RATE,
    wait_idle,
    wait_unready,
    what_unknown_fates_break,
)
from tests.waiting import a_moment


@pytest.mark.row("D3")
@pytest.mark.timeout(120)
async def test_server_that_stands_still_is_waited_for(
    experiment: Experiment, scale: Scale, database: Database
) -> None:
    """Every process of it is stopped: 503 in time, and nothing is left open when it goes on."""
    await experiment.start()

    async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
        await a_moment(scale.pick(0.3, 5.0))
        database.server.pause()
        try:
            await wait_unready(experiment, "the database does not answer in time")
            await a_moment(scale.pick(0.2, 30.0))
        finally:
            database.server.go_on()
        await experiment.heal(HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    check_refusals_are_quick(books)


@pytest.mark.row("D3")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_network_that_swallows_everything_is_waited_for(
    experiment: Experiment, database: Database
) -> None:
    """Every packet from and to the server's port is dropped for half a minute, by the kernel."""
    needed("iptables")
    await experiment.start()

    async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
        await a_moment(5.0)
        with dropped(database.port):
            await wait_unready(experiment, "the database does not answer in time")
            await a_moment(30.0)
        await experiment.heal(2 * HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    check_refusals_are_quick(books)


@contextmanager
def dropped(port: int) -> Iterator[None]:
    """Have the kernel drop what goes to a port of loopback, and what comes from it."""
    drop = ("INPUT", "-i", "lo", "-p", "tcp", "-j", "DROP")
    rules = [(*drop, way, str(port)) for way in ("--dport", "--sport")]
    try:
        run("iptables", "-S", "INPUT")
    except OSError as error:
        pytest.skip(f"rules for packets are forbidden here: {error}")
    with ExitStack() as stack:
        for rule in rules:
            run("iptables", "-I", *rule)
            stack.callback(run, "iptables", "-D", *rule)
        yield
