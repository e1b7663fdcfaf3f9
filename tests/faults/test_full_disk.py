"""S1: the disk, or what the process may write of it, is full; with room again all goes on."""

from __future__ import annotations

import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.experiment import Experiment, Scale
from tests.faults.mounts import Mounts, needed, run
from tests.waiting import a_moment, wait_until

LARGE = (15_000, 25_000)
MIB = 1 << 20


async def wait_refused(experiment: Experiment, code: str, count: int = 20) -> None:
    """Return once so many submissions have been refused for that reason."""

    async def is_refused() -> bool:
        return len(refused(experiment, code)) >= count

    await wait_until(is_refused, 30)


def refused(experiment: Experiment, code: str) -> list[str]:
    """The keys of what was refused for that reason."""
    entries = experiment.ledger.entries
    return [entry.key for entry in entries if entry.answer.get("code") == code]


@pytest.mark.row("S1")
@pytest.mark.timeout(120)
async def test_full_disk_refuses_and_goes_on_with_room(
    experiment: Experiment, scale: Scale, mounts: Mounts
) -> None:
    """Every submission is refused with `store_full` until there is room; no promise is broken."""
    disk = mounts.tmpfs(experiment.folder / "disk", scale.pick("8m", "16m"))
    experiment.store_path = disk / "tirelessd.db"
    await experiment.start()

    async with experiment.load(size=LARGE):
        await wait_refused(experiment, "store_full")
        await a_moment(scale.pick(0.3, 10.0))
        unready = await experiment.watch.ask("/readyz")
        mounts.again(disk, "size=512m")
        await experiment.heal(5)
        await a_moment(scale.pick(0.2, 5.0))

    books = await experiment.finish()
    assert "no room" in unready
    check_refusals_are_quick(books)


@pytest.mark.row("S1")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_limit_on_the_file_is_no_less_a_full_disk(
    experiment: Experiment, scale: Scale
) -> None:
    """EFBIG from `prlimit` refuses and heals in the same way, and does not end the process."""
    needed("prlimit")
    daemon = await experiment.start()

    async with experiment.load(size=LARGE):
        await a_moment(scale.pick(0.3, 5.0))
        run("prlimit", "--pid", str(daemon.pid), f"--fsize={scale.pick(4, 12) * MIB}:unlimited")
        await wait_refused(experiment, "store_full")
        await a_moment(scale.pick(0.3, 10.0))
        run("prlimit", "--pid", str(daemon.pid), "--fsize=unlimited:unlimited")
        await experiment.heal(5)

    books = await experiment.finish()
    check_refusals_are_quick(books)
