"""A host's clock that is set while the daemon runs, or between two starts, moves nothing."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.experiment import Experiment
from tests.waiting import wait_until

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
DELAY_SECONDS = 4
FREEZE_SECONDS = 12


@pytest.fixture
def fake_clock(tmp_path: Path) -> Path:
    """The file that says how far the daemon's wall clock is off; skipped without libfaketime."""
    if not LIBRARY.exists():
        pytest.skip(f"{LIBRARY} is not installed, so no process can be given another clock")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    return offset


@pytest.mark.row("P5")
@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("jump", ["+2d", "-2d"])
async def test_jump_moves_no_item(experiment: Experiment, fake_clock: Path, jump: str) -> None:
    """Delays are kept, retries go on, nothing expires; while it runs and at the next start."""
    environment = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(fake_clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    await experiment.start(environment=environment, queue={"retry": {"max_attempts": 200}})
    async with aiohttp.ClientSession() as session:
        retried = (await experiment.ledger.submit(session, experiment.url(), "fail")).item_id
        long = await delayed(experiment, session, 3_600)
        soon = await delayed(experiment, session, DELAY_SECONDS)
        set_clock(fake_clock, jump)
        async with experiment.load(rate=50):
            await wait_until(partial(is_over, experiment, session, soon), FREEZE_SECONDS)
        running = [await state(experiment, session, each) for each in (retried, long)]
        await experiment.stop()

        set_clock(fake_clock, "+0")
        await experiment.daemon.start()
        soon = await delayed(experiment, session, DELAY_SECONDS)
        began_at = asyncio.get_running_loop().time()
        await wait_until(partial(is_over, experiment, session, soon), FREEZE_SECONDS)
        waited = asyncio.get_running_loop().time() - began_at
        before = (await look(experiment, session, retried))["attempts"]

        async def is_retried() -> bool:
            return bool((await look(experiment, session, retried))["attempts"] > before)

        await wait_until(is_retried, FREEZE_SECONDS)
        restarted = [await state(experiment, session, each) for each in (retried, long)]

    assert running[1] == restarted[1] == "scheduled"
    assert {running[0], restarted[0]} <= {"retrying", "running", "ready"}
    assert waited >= DELAY_SECONDS * 0.9


def set_clock(offset: Path, jump: str) -> None:
    """Let the daemon's wall clock be so far off from now on."""
    offset.write_text(jump)


async def delayed(experiment: Experiment, session: aiohttp.ClientSession, seconds: int) -> str:
    """An accepted item that is due in so many seconds; its id."""
    headers = {"Tirelessd-Delay": str(seconds)}
    async with session.post(experiment.url(), data=b"ok:later", headers=headers) as response:
        assert response.status == 202
        return str((await response.json())["id"])


async def look(
    experiment: Experiment, session: aiohttp.ClientSession, item_id: str
) -> dict[str, Any]:
    """What the API says of an item."""
    async with session.get(experiment.url(f"/v1/items/{item_id}")) as response:
        answer: dict[str, Any] = await response.json()
        return answer


async def state(experiment: Experiment, session: aiohttp.ClientSession, item_id: str) -> str:
    """The state that is shown."""
    return str((await look(experiment, session, item_id))["shown_state"])


async def is_over(experiment: Experiment, session: aiohttp.ClientSession, item_id: str) -> bool:
    """Whether the item has succeeded."""
    return await state(experiment, session, item_id) == "succeeded"
