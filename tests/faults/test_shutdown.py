"""P3 and P4: a signal ends the daemon in time, in order, and without losing or repeating work."""

from __future__ import annotations

import signal

import aiohttp
import pytest

from tests.faults.experiment import DRAIN_SECONDS, SLOTS, Experiment, Scale
from tests.waiting import a_moment, wait_until

PATIENT = {"handler": {"attempt_timeout_seconds": 60}}


@pytest.mark.row("P3")
async def test_sigterm_under_load_loses_and_repeats_nothing(
    experiment: Experiment, scale: Scale
) -> None:
    """Unready at once, intake goes on through the pre-drain, then 503; exit 0, no duplicate."""
    pre_drain_seconds = scale.pick(1.0, 2.0)
    daemon = await experiment.start(pre_drain_seconds=pre_drain_seconds)
    ledger = experiment.ledger

    async with experiment.load(), aiohttp.ClientSession() as session:
        await a_moment(scale.pick(0.7, 5))
        daemon.send(signal.SIGTERM)
        accepted_before = len(ledger.of("acked"))

        async def is_unready() -> bool:
            return await daemon.probe(session) == 503

        await wait_until(is_unready, 0.5)
        assert await daemon.probe(session, "/livez") == 200
        code = await daemon.wait(pre_drain_seconds + DRAIN_SECONDS + 2)

    assert code == 0
    assert len(ledger.of("acked")) > accepted_before
    assert {entry.status for entry in ledger.of("refused")} <= {503, 0}
    assert ledger.of("ambiguous") == []
    await daemon.start()
    await experiment.finish(kills=0)


async def hang_all_slots(experiment: Experiment) -> None:
    """Fill every slot with an attempt that the upstream does not answer."""
    async with aiohttp.ClientSession() as session:
        for _ in range(SLOTS):
            await experiment.ledger.submit(session, experiment.url(), "hang")

    async def all_hang() -> bool:
        return experiment.upstream.hanging >= SLOTS

    await wait_until(all_hang, 10)


@pytest.mark.row("P4")
async def test_sigterm_with_hanging_attempts_releases_them(
    experiment: Experiment, scale: Scale
) -> None:
    """What does not end within the drain is released, and delivered after the restart."""
    drain_seconds = scale.pick(1.0, DRAIN_SECONDS)
    daemon = await experiment.start(
        pre_drain_seconds=0.5, drain_seconds=drain_seconds, queue=PATIENT
    )
    await hang_all_slots(experiment)

    daemon.send(signal.SIGTERM)
    code = await daemon.wait(0.5 + drain_seconds + 2)

    assert code == 0
    experiment.upstream.let_go.set()
    await daemon.start()
    books = await experiment.finish(kills=0)
    assert {item["attempts"] for item in books.items.values()} == {1}


@pytest.mark.row("P4")
@pytest.mark.parametrize(
    "first",
    [
        pytest.param(signal.SIGINT, id="SIGINT"),
        pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.long),
    ],
)
async def test_second_signal_exits_at_once(experiment: Experiment, first: signal.Signals) -> None:
    """The second signal ends the daemon, with its own number in the code."""
    daemon = await experiment.start(drain_seconds=60.0, queue=PATIENT)
    await hang_all_slots(experiment)

    daemon.send(first)
    await a_moment(experiment.scale.pick(0.5, 1.0))
    daemon.send(signal.SIGTERM)
    code = await daemon.wait(1)

    assert code == 128 + signal.SIGTERM
    experiment.upstream.let_go.set()
    await daemon.start()
    await experiment.finish(kills=1)
