"""S2: the disk can only be read, at the start or all of a sudden."""

from __future__ import annotations

import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.experiment import Experiment, Scale
from tests.faults.mounts import Mounts, needed, run
from tests.faults.refusal import refused
from tests.waiting import a_moment, wait_until


@pytest.mark.row("S2")
async def test_start_on_a_disk_that_can_only_be_read_says_so(
    experiment: Experiment, mounts: Mounts
) -> None:
    """The process ends at once, with one line that names the path."""
    disk = mounts.tmpfs(experiment.folder / "disk", "16m")
    experiment.store_path = disk / "tirelessd.db"
    daemon = await experiment.start()
    assert await experiment.stop() == 0
    mounts.again(disk, "ro")

    refusal = await refused(daemon)

    assert str(disk) in refusal.line
    assert "Read-only" in refusal.line


@pytest.mark.row("S2")
@pytest.mark.timeout(120)
async def test_disk_that_stops_taking_writes_is_waited_for(
    experiment: Experiment, scale: Scale, mounts: Mounts
) -> None:
    """A frozen file system: callers hear 503 in time, the process lives, and goes on when it thaws.

    Nobody can make a disk read-only while files on it are open for writing, so it is frozen.
    """
    needed("fsfreeze")
    disk = mounts.ext4(experiment.folder / "disk", "64M")
    experiment.store_path = disk / "tirelessd.db"
    await experiment.start()

    async with experiment.load():
        await a_moment(scale.pick(0.2, 5.0))
        run("fsfreeze", "--freeze", disk)
        try:
            await wait_until(lambda: is_unready(experiment), 5)
            await a_moment(scale.pick(0.2, 20.0))
        finally:
            run("fsfreeze", "--unfreeze", disk)
        await experiment.heal(5)

    books = await experiment.finish(without={"I6"} if books_may_differ(experiment) else ())
    check_refusals_are_quick(books)


async def is_unready(experiment: Experiment) -> bool:
    """Whether /readyz says why not to send anything."""
    return "does not answer in time" in await experiment.watch.ask("/readyz")


def books_may_differ(experiment: Experiment) -> bool:
    """Whether a submission in flight has an unknown fate, which no count can include."""
    return any(entry.answer.get("accepted") == "unknown" for entry in experiment.ledger.entries)
