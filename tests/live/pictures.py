"""`python -m tests.live.pictures FOLDER` writes what the panels' queries come to, for drawing.

Under load first, then while the upstream fails.
"""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from grafana.source.dashboards import models
from grafana.source.pictures.answers import Answer, Answers, Line
from tests.live.panels import queries_of
from tests.live.server import Prometheus, Series
from tests.live.site import Site
from tests.live.stage import Scene, Stage
from tests.live.workload import Workload
from tests.waiting import a_moment

LOAD_SECONDS: Final = 75.0
OUTAGE_SECONDS: Final = 60.0
STEP_SECONDS: Final = 1.0


async def answers(prometheus: Prometheus, began_at: float) -> Answers:
    """What every query of every panel comes to from an instant until now."""
    ended_at = await prometheus.now()
    panels: dict[str, dict[str, list[Answer]]] = {}
    for model in models():
        for panel in model["panels"]:
            found = [
                Answer(
                    query.place.rpartition(" / ")[2],
                    query.legend,
                    [
                        line(series)
                        for series in (
                            await prometheus.query(query.expression, ended_at)
                            if query.is_instant
                            else await prometheus.query_range(
                                query.expression, began_at, ended_at, STEP_SECONDS
                            )
                        )
                    ],
                )
                for query in queries_of(panel, model["uid"])
            ]
            panels.setdefault(model["uid"], {})[str(panel["id"])] = found
    firing = await prometheus.query('ALERTS{alertstate="firing",job="tirelessd"}', ended_at)
    return Answers(began_at, ended_at, panels, [each.labels for each in firing])


def line(series: Series) -> Line:
    """A series, with nothing where there is no number."""
    samples = [(at, value if math.isfinite(value) else None) for at, value in series.samples]
    return Line(series.labels, samples)


async def write(folder: Path) -> None:
    """Play the workload, and write a file for each case."""

    async def play(site: Site) -> None:
        workload = asyncio.get_running_loop().create_task(
            Workload(site, LOAD_SECONDS + OUTAGE_SECONDS).play()
        )
        await a_moment(LOAD_SECONDS)
        began_at = await site.prometheus.now() - LOAD_SECONDS
        load = await answers(site.prometheus, began_at)
        site.upstream.outage_status = 500
        await a_moment(OUTAGE_SECONDS)
        outage = await answers(site.prometheus, began_at + LOAD_SECONDS / 2)
        await workload
        for name, found in (("load", load), ("outage", outage)):
            (folder / f"{name}.json").write_bytes(msgspec.json.encode(found))

    with tempfile.TemporaryDirectory() as scratch:
        async with Stage(Path(scratch)) as stage:
            scene = Scene("shop", "none", play)
            stage.begin([scene])
            await stage.outcome(scene)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(write(target))
