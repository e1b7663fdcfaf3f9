"""S3, S4: the files of a daemon that lives are moved, replaced, cut, overwritten, or put back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.experiment import Experiment, Scale
from tests.faults.refusal import refused
from tests.faults.test_damaged_file import beside, garbage
from tests.waiting import a_moment, wait_until

NOTICE_SECONDS = 5.0
long = pytest.mark.long

Change = Callable[[Path, Path], object]


def move(path: Path, elsewhere: Path) -> None:
    """Move a file."""
    path.rename(elsewhere)


def replace(path: Path, elsewhere: Path) -> None:
    """Put another file with the same content in a file's place."""
    path.rename(elsewhere)
    shutil.copyfile(elsewhere, path)


def overwrite(path: Path, elsewhere: Path) -> None:
    """Write garbage into a file, of which there is a copy."""
    shutil.copyfile(path, elsewhere)
    garbage(path, 0, 20_000)


def cut(path: Path, elsewhere: Path) -> None:
    """Cut a file off, of which there is a copy."""
    shutil.copyfile(path, elsewhere)
    with path.open("r+b") as file:
        file.truncate(8_192)


def put_back(path: Path, elsewhere: Path) -> None:
    """Put the very file back."""
    elsewhere.rename(path)


def fill_again(path: Path, elsewhere: Path) -> None:
    """Put a file's content back."""
    path.write_bytes(elsewhere.read_bytes())


MENDABLE: dict[str, tuple[str, Change, Change]] = {
    "moved": ("", move, put_back),
    "replaced": ("", replace, put_back),
    "log moved": ("-wal", move, put_back),
    "overwritten": ("", overwrite, fill_again),
    "cut": ("", cut, fill_again),
}


@pytest.mark.row("S3")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "damage", [pytest.param(name, marks=[] if name == "moved" else [long]) for name in MENDABLE]
)
async def test_files_that_went_wrong_are_not_written_to(
    experiment: Experiment, scale: Scale, damage: str
) -> None:
    """Callers are refused within seconds, and /readyz says why; put back, all goes on as before."""
    suffix, spoil, mend = MENDABLE[damage]
    path, elsewhere = beside(experiment.store_path, suffix), experiment.folder / "elsewhere"
    await experiment.start()

    async with experiment.load():
        await a_moment(scale.pick(0.3, 5.0))
        spoil(path, elsewhere)
        await wait_until(lambda: is_told(experiment, path), NOTICE_SECONDS)
        await a_moment(scale.pick(0.2, 5.0))
        mend(path, elsewhere)
        await experiment.heal(5)

    is_unknown = any(e.answer.get("accepted") == "unknown" for e in experiment.ledger.entries)
    # A commit that went astray is in no count before it is back, and is not counted again then.
    books = await experiment.finish(without={"I6"} if is_unknown else ())
    check_refusals_are_quick(books)


async def is_told(experiment: Experiment, path: Path) -> bool:
    """Whether /readyz names the file."""
    return f"{path} was" in await experiment.watch.ask("/readyz")


@pytest.mark.row("S3")
@pytest.mark.long
@pytest.mark.parametrize("damage", ["log cut", "log overwritten", "deleted", "all deleted"])
async def test_files_that_are_lost_are_said_to_be(experiment: Experiment, damage: str) -> None:
    """Nothing more is acknowledged, and no later start takes the loss for a new beginning."""
    path = experiment.store_path
    daemon = await experiment.start()

    async with experiment.load():
        await a_moment(2.0)
        lose(path, damage)
        await wait_until(lambda: is_told(experiment, named(path, damage)), NOTICE_SECONDS)
        told_at = asyncio.get_running_loop().time()
        await a_moment(1.0)
    await experiment.kill()
    refusal = await refused(daemon)

    # By when it was sent: an answer that came before is written into the ledger a moment later.
    assert [e for e in experiment.ledger.of("acked") if e.sent_at > told_at] == []
    assert "restore" in refusal.line


def lose(path: Path, damage: str) -> None:
    """Do to the files what cannot be undone."""
    if damage == "log cut":
        cut(beside(path, "-wal"), path.with_name("copy"))
    elif damage == "log overwritten":
        log = beside(path, "-wal")
        garbage(log, 0, log.stat().st_size)
    else:
        for suffix in ("",) if damage == "deleted" else ("", "-wal", "-shm"):
            beside(path, suffix).unlink()


def named(path: Path, damage: str) -> Path:
    """The file that is complained of."""
    return beside(path, "-wal") if damage.startswith("log") else path
