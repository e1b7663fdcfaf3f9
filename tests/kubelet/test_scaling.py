"""The recipe with real daemons: ten times the load brings pods, and its end takes them away.

Embedded daemons, each with a file of its own, behind one Service: what waits at one of them no
other can do, so what piled up before the others came is gone later than with a store they share.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from grafana.source.rules import rendered
from grafana.source.rules.render import Choices
from tests.faults.books import Row
from tests.faults.ledger import Ledger
from tests.faults.load import Wish
from tests.faults.upstream import Upstream
from tests.kubelet.callers import Callers
from tests.kubelet.figures import note
from tests.kubelet.fleet import Fleet, Look, Scaling
from tests.kubelet.plant import turns
from tests.kubelet.recipe import recipe_of_chart
from tests.kubelet.signals import Recorded, Scrapes
from tests.kubelet.spec import SPEED, spec_of_chart
from tests.live.server import Prometheus
from tests.waiting import a_moment

# In the short form two minutes of the cluster take a second.
SHORT_SPEED = 120.0
SHORT_LOOKS = 8
SLOTS, ATTEMPT_SECONDS = 4, 0.2
POD_RATE = SLOTS / ATTEMPT_SECONDS
STEP = 10.0
# Of what one pod can do; more processes than these would have the machine wait for itself.
SHORT_SHARE, SHORT_PODS = 0.12, 2
LONG_SHARE, LONG_PODS = 0.3, 6
CALM_SECONDS, HIGH_SECONDS = 15.0, 40.0
MOVE_SECONDS = 120.0

pytestmark = pytest.mark.alone


class Trial:
    """A ledger, an upstream, and a fleet between them."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.upstream = upstream
        self.ledger = Ledger(folder / "ledger.txt", "scaling")
        self.fleet = Fleet(folder, spec_of_chart().at(SPEED), upstream.url, {"slots": SLOTS})

    def callers(self, share: float) -> Callers:
        """Callers who ask for such a share of what a pod can do.

        A connection for each item: kept ones would stay with the pods of the beginning.
        """
        wish = Wish(share * POD_RATE)
        return Callers(self.ledger, self.fleet.service, wish, random.Random(1), is_kept=False)

    async def start(self) -> None:
        """The first pod."""
        await self.fleet.scale_to(1)
        await self.fleet.pods[0].wait_ready()


@pytest.fixture
async def trial(tmp_path: Path) -> AsyncIterator[Trial]:
    """Nobody is there yet; at the end nobody is there any more."""
    async with Upstream(delay_seconds=ATTEMPT_SECONDS) as upstream:
        trial = Trial(tmp_path, upstream)
        yield trial
        await trial.fleet.close()
        trial.ledger.close()


async def test_ten_times_the_load_brings_a_pod_and_its_end_takes_it_away(trial: Trial) -> None:
    """Up once and down once; nothing is lost or done twice, and no attempt is cut short."""
    recipe = replace(recipe_of_chart().at(SHORT_SPEED), most=SHORT_PODS)
    read = Scrapes(trial.fleet, SHORT_LOOKS).read
    await trial.start()

    async with Scaling(trial.fleet, recipe, read) as scaling, trial.callers(SHORT_SHARE) as callers:
        callers.rate *= STEP
        await scaling.wait_pods(lambda count: count == SHORT_PODS, MOVE_SECONDS)
        callers.rate /= STEP
        await scaling.wait_pods(lambda count: count == 1, MOVE_SECONDS)
    await trial.fleet.settle()

    check_books(trial)
    assert turns([look.wished for look in scaling.looks]) == 1


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_recorded_signals_scale_a_fleet(trial: Trial, tmp_path: Path) -> None:
    """The same with every number of the chart, and a real Prometheus that records the signals."""
    recipe = replace(recipe_of_chart().at(SPEED), most=LONG_PODS)
    rules = {"tirelessd": rendered(Choices(scale=int(SPEED)))}
    loop = asyncio.get_running_loop()
    async with Prometheus(tmp_path / "prometheus", rules) as prometheus:
        signals = Recorded(prometheus)
        trial.fleet.came, trial.fleet.gone = signals.watch, signals.forget
        await trial.start()

        async with (
            Scaling(trial.fleet, recipe, signals.read) as scaling,
            trial.callers(LONG_SHARE) as callers,
        ):
            await a_moment(CALM_SECONDS)
            stepped_at = loop.time()
            callers.rate *= STEP
            await a_moment(HIGH_SECONDS)
            callers.rate /= STEP
            await scaling.wait_pods(lambda count: count == 1, MOVE_SECONDS)
        await trial.fleet.settle()

    note("scaling", **figures(trial, scaling.looks, stepped_at))
    check_books(trial)
    assert turns([look.wished for look in scaling.looks]) == 1


def figures(trial: Trial, looks: list[Look], stepped_at: float) -> dict[str, object]:
    """What a run came to, in seconds of the cluster after the step."""
    backlogs = [
        ((look.at - stepped_at) * SPEED, (look.values[1] or 0.0) * SPEED / look.pods)
        for look in looks
        if look.at >= stepped_at
    ]
    _, target_seconds = recipe_of_chart().targets
    return {
        "items": len(trial.ledger.of("acked")),
        "pods": max(look.pods for look in looks),
        "turns": turns([look.wished for look in looks]),
        "brought_back": trial.fleet.brought_back,
        "longest_backlog_seconds_per_pod": round(max(each for _, each in backlogs)),
        "seconds_until_on_target": round(
            max((at for at, b in backlogs if b > target_seconds), default=0)
        ),
        "path": [
            (round((after.at - stepped_at) * SPEED), after.pods)
            for before, after in itertools.pairwise(looks)
            if before.pods != after.pods
        ],
    }


def check_books(trial: Trial) -> None:
    """All that was accepted is on a volume and has succeeded once, and every pod went in order."""
    fleet, ledger = trial.fleet, trial.ledger
    rows: dict[str, Row] = {}
    for volume in fleet.volumes:
        rows |= fleet.rows_of(volume)
    pods = [pod for each in fleet.volumes.values() for pod in each]
    lines = [line for pod in pods for line in pod.daemon.lines]
    drains = [line for line in lines if line["event"] == "drain.finished"]
    assert rows.keys() == {entry.item_id for entry in ledger.of("acked")}
    assert {row.state for row in rows.values()} == {"succeeded"}
    assert set(trial.upstream.successes().values()) == {1}
    assert {ending.code for pod in pods for ending in pod.endings} == {0}
    assert len(drains) == len(pods)
    assert sum(line["released"] + line["abandoned"] for line in drains) == 0
    assert ledger.of("ambiguous") == []
