"""S1 and S2 of a shared store: its disk is full, or it takes no writes from the daemon's user."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.conduct import check_refusals_are_quick
from tests.faults.database import USER, Database
from tests.faults.experiment import Experiment, Scale
from tests.faults.mounts import Mounts
from tests.faults.shared import (
    CALLERS,
    HEALED_SECONDS,
    MIXED,
    RATE,
    wait_idle,
    wait_unready,
    what_unknown_fates_break,
)
from tests.faults.test_full_disk import LARGE, wait_refused
from tests.waiting import a_moment


@pytest.fixture
async def disk(database: Database, mounts: Mounts) -> AsyncIterator[Path]:
    """A small disk that has all of the database, as long as there is one."""
    disk = mounts.tmpfs(database.server.folder / database.name, "64m")
    await database.move_to(disk)
    yield disk
    await database.leave()


@pytest.mark.row("S1")
@pytest.mark.timeout(120)
@pytest.mark.long
async def test_full_tablespace_refuses_and_goes_on_with_room(
    experiment: Experiment, scale: Scale, disk: Path, mounts: Mounts
) -> None:
    """Every submission is refused with `store_full` until there is room; no promise is broken."""
    await experiment.start()
    mounts.again(disk, f"size={shutil.disk_usage(disk).used + scale.pick(3, 10) * (1 << 20)}")

    async with experiment.load(rate=RATE, connections=CALLERS, size=LARGE):
        await wait_refused(experiment, "store_full")
        await wait_unready(experiment, "No space left")
        await a_moment(scale.pick(0.2, 10.0))
        mounts.again(disk, "size=512m")
        await experiment.heal(HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    check_refusals_are_quick(books)


@pytest.mark.row("S2")
@pytest.mark.timeout(120)
@pytest.mark.long
async def test_user_who_may_not_write_is_waited_for(
    experiment: Experiment, database: Database
) -> None:
    """A right is taken away, and given back: 503 meanwhile, and /readyz says what is forbidden."""
    await experiment.start()

    async with experiment.load(rate=RATE, connections=CALLERS, word=MIXED):
        await a_moment(5.0)
        await database.execute(f"REVOKE INSERT ON payloads FROM {USER}")
        await wait_refused(experiment, "store_unavailable")
        await wait_unready(experiment, "permission denied")
        await a_moment(20.0)
        await database.execute(f"GRANT INSERT ON payloads TO {USER}")
        await experiment.heal(HEALED_SECONDS)
    await wait_idle(experiment)

    books = await experiment.finish(without=what_unknown_fates_break(experiment))
    check_refusals_are_quick(books)
