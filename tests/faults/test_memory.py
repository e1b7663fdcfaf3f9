"""P6: two hundred thousand items wait in a quarter of a gigabyte, and the rest is on disk."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.faults.experiment import Experiment
from tests.faults.watch import MIB
from tests.waiting import a_moment

GROUPS = Path("/sys/fs/cgroup/memory")
LIMIT_MIB = 256
RSS_MIB = 150
ITEMS = 200_000
BATCH = 10_000
START_SECONDS = 5


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group with little memory; skipped where none can be made."""
    group = GROUPS / f"tirelessd-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT_MIB * MIB))
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    yield group
    group.rmdir()


@pytest.mark.row("P6")
@pytest.mark.long
@pytest.mark.timeout(240)
async def test_backlog_needs_little_memory(memory_group: Path, experiment: Experiment) -> None:
    """No process is killed for memory, and a start on the backlog is quick."""
    script = f'echo $$ > {memory_group}/cgroup.procs; exec "$@"'
    daemon = await experiment.start(prefix=("sh", "-c", script, "sh"))
    line = msgspec.json.encode({"payload": "slow:" + "x" * 2_048}) + b"\n"
    async with aiohttp.ClientSession() as session:
        taken = 0
        while taken < ITEMS // BATCH:
            async with session.post(
                experiment.url("/v1/queues/work/batch"),
                data=io.BytesIO(line * BATCH),
                headers={"Content-Type": "application/x-ndjson"},
            ) as response:
                # A disk that needs more than a second for so much asks to be asked again.
                assert response.status in {202, 503}
                taken += response.status == 202
    await a_moment(5)
    await experiment.kill()

    began_at = asyncio.get_running_loop().time()
    await daemon.start()
    start_seconds = asyncio.get_running_loop().time() - began_at
    await a_moment(10)

    killed = (memory_group / "memory.oom_control").read_text()
    assert "oom_kill 0" in killed
    assert experiment.watch.rss_peak_mib <= RSS_MIB
    assert start_seconds <= START_SECONDS
    await daemon.kill()
