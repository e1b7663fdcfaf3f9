"""One Prometheus and many installations at once: waiting is what takes the time, so all wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from grafana.source.rules import ALERTS, rendered
from grafana.source.rules.alert import Severity
from grafana.source.rules.render import Choices
from tests.grafana.silence import is_silenced
from tests.live.server import Prometheus, Series
from tests.live.site import Seen, Site

SCALE: Final = 60
STARTS: Final = 2
# More at once would have each other's faults: the machine has two processors.
SCENES: Final = 12
IS_LONG: Final = os.environ.get("LIVE", "short") == "long"
# A job whose targets may all be gone while those of other installations are there.
LONELY: Final = "vanishing"
# Thresholds that are no waits for anybody, so that they do not shrink with time.
TEXTS: Final[Mapping[str, str]] = {
    "SnapshotStale.seconds": "10",
    "DeadLettersUnattended.seconds": "20",
}


@dataclass(frozen=True)
class Scene:
    """A fault and what becomes of it.

    `play` breaks something, waits for alerts, mends it, and waits until they are over. `pages` are
    the only critical alerts that may be heard meanwhile; in a silent scene no alert fires at all.
    A scene that is alone has a Prometheus to itself, which stays for as long as the stage does.
    """

    name: str
    fault: str
    play: Callable[[Site], Awaitable[None]]
    pages: AbstractSet[str] = frozenset()
    is_silent: bool = False
    is_alone: bool = False
    job: str = "tirelessd"


class Outcome(msgspec.Struct, frozen=True):
    """What a scene came to: alerts that came and went, and all that fired at any time."""

    seen: list[Seen]
    fired: list[str]
    pages: list[str]
    notes: dict[str, Any]
    began_at: float
    ended_at: float


@dataclass
class Stage:
    """Scenes that are played side by side; `outcome` waits for one of them."""

    folder: Path
    prometheus: Prometheus = field(init=False)
    starting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STARTS))
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SCENES))
    alone: dict[str, Prometheus] = field(default_factory=dict, init=False)
    _playing: dict[str, asyncio.Task[Outcome]] = field(default_factory=dict, init=False)

    async def __aenter__(self) -> Self:
        """Start Prometheus with the rules, in which a minute takes a second."""
        self.prometheus = await start(self.folder / "shared")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what is still played, and Prometheus."""
        for task in self._playing.values():
            task.cancel()
        await asyncio.gather(*self._playing.values(), return_exceptions=True)
        for each in (self.prometheus, *self.alone.values()):
            await each.__aexit__(kind, error, trace)

    def begin(self, scenes: Sequence[Scene]) -> None:
        """Play them all from now on."""
        loop = asyncio.get_running_loop()
        for scene in {each.name: each for each in scenes}.values():
            self._playing[scene.name] = loop.create_task(self._play(scene))

    async def all_seen(self) -> list[Seen]:
        """The alerts that came and went in all scenes that ended well."""
        outcomes = await asyncio.gather(*self._playing.values(), return_exceptions=True)
        return [seen for each in outcomes if isinstance(each, Outcome) for seen in each.seen]

    async def outcome(self, scene: Scene) -> Outcome:
        """What a scene came to, once it has been played."""
        return await self._playing[scene.name]

    async def _play(self, scene: Scene) -> Outcome:
        async with self.room:
            return await self._played(scene)

    async def _played(self, scene: Scene) -> Outcome:
        folder = self.folder / scene.name
        prometheus = self.prometheus
        if scene.is_alone:
            prometheus = self.alone[scene.name] = await start(self.folder / f"{scene.name}-alone")
        async with Site(
            prometheus,
            folder,
            scene.name,
            scene.fault,
            job=scene.job,
            starting=self.starting,
        ) as site:
            await scene.play(site)
            history = await site.history()
            ended_at = await prometheus.now()
        fired = sorted({name_of(each) for each in history})
        return Outcome(site.seen, fired, pages(history), site.notes, site.began_at, ended_at)


async def start(folder: Path) -> Prometheus:
    """A Prometheus that has the rules, and runs."""
    return await Prometheus(folder, scaled_rules(), jobs=(LONELY,)).__aenter__()


def scaled_rules() -> Mapping[str, str]:
    """The rules, sixty times faster; those of the lonely job, for whom one alert is enough."""
    others = frozenset(alert_names()) - {"Absent"}
    return {
        "tirelessd": rendered(Choices(scale=SCALE, texts=TEXTS)),
        LONELY: rendered(Choices(scale=SCALE, job=LONELY, disabled=others)),
    }


def alert_names() -> Sequence[str]:
    """Every alert, by its short name."""
    return [alert.name for alert in ALERTS]


def name_of(series: Series) -> str:
    """An alert's short name."""
    return series.labels["alertname"].removeprefix("Tirelessd")


def pages(history: Sequence[Series]) -> list[str]:
    """The critical alerts that were heard: at some moment no other one spoke for them."""
    return sorted(
        {
            name_of(each)
            for each in history
            if each.labels["severity"] == Severity.CRITICAL and is_heard(each, history)
        }
    )


def is_heard(alert: Series, history: Sequence[Series]) -> bool:
    """Whether an alert fired at some moment at which nothing silenced it."""
    silenced = {
        at
        for other in history
        if is_silenced(alert.labels, other.labels)
        for at, _ in other.samples
    }
    return any(at not in silenced for at, _ in alert.samples)
