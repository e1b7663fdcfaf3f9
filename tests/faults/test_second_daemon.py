"""S4: another daemon is started on the data of one that lives."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.conduct import check_latency
from tests.faults.experiment import Experiment, Scale, configuration
from tests.faults.process import DaemonProcess
from tests.faults.refusal import refused
from tests.waiting import a_moment

READY_SECONDS = 3.0


def by_its_name(path: Path) -> Path:
    """The very path."""
    return path


def through_a_link(path: Path) -> Path:
    """A symbolic link in another folder."""
    link = path.parent / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    return link


def by_a_hard_link(path: Path) -> Path:
    """Another name, with another lock file beside it."""
    link = path.with_name("other.db")
    link.hardlink_to(path)
    return link


def by_a_detour(path: Path) -> Path:
    """Another spelling."""
    return path.parent / ".." / path.parent.name / path.name


def without_the_lock_file(path: Path) -> Path:
    """The very path, somebody having deleted what seemed to be left over."""
    path.with_name(path.name + ".lock").unlink()
    return path


WAYS = [by_its_name, through_a_link, by_a_hard_link, by_a_detour, without_the_lock_file]


@pytest.mark.row("S4")
@pytest.mark.timeout(120)
async def test_second_daemon_is_turned_away(experiment: Experiment, scale: Scale) -> None:
    """It names the holder and ends; the first one notices nothing; after its death a third runs."""
    first = await experiment.start()
    ways = scale.pick([by_a_hard_link], WAYS)

    async with experiment.load():
        for way in ways:
            refusal = await refused(second(experiment, way(experiment.store_path)))
            assert f"in use by process {first.pid}" in refusal.line
        await a_moment(scale.pick(0.1, 5.0))
        await experiment.kill()
        experiment.store_path.with_name("other.db").unlink(missing_ok=True)
        began_at = asyncio.get_running_loop().time()
        await experiment.start()
        ready_seconds = asyncio.get_running_loop().time() - began_at
        await experiment.heal(5)

    books = await experiment.finish(kills=1)
    assert ready_seconds <= READY_SECONDS
    if scale.is_long:
        check_latency(books, 0.25, until=began_at - 1)


def second(experiment: Experiment, path: Path) -> DaemonProcess:
    """Another daemon on the same data, with its configuration in a folder of its own."""
    folder = experiment.folder / "second"
    folder.mkdir(exist_ok=True)
    store = f"sqlite://{path}"
    return DaemonProcess(folder, configuration(folder, experiment.upstream.url, store=store))
