"""A move that is killed, wherever it is, loses nothing and brings nothing twice."""

from __future__ import annotations

import os
import random
import sys
from asyncio import timeout
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.recorder import Recorder
from tests.store.shelf import give_up, key, new_item, retry, succeed
from tests.store.transfer.moving import Ends, answers, config
from tirelessd.core.clock import SystemClock
from tirelessd.core.errors import Misconfigured
from tirelessd.store.postgres.pools import PostgresPools

ROOT = Path(__file__).parents[3]
ITEMS = 60
BATCH_ROWS = 1
PATIENCE_SECONDS = 40.0


async def moving(ends: Ends) -> AsyncGenerator[str, None]:
    """Another process that moves the store, line by line; killed when nobody listens any more."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path])),
    }
    command = ("-m", "tests.store.transfer.driver", ends.path, ends.database.url, str(BATCH_ROWS))
    process = await create_subprocess_exec(sys.executable, *command, stdout=PIPE, env=environment)
    assert process.stdout is not None
    try:
        async with timeout(PATIENCE_SECONDS):
            while line := (await process.stdout.readline()).decode().strip():
                yield line
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def killed_after(ends: Ends, lines: int) -> list[str]:
    """What a process said that was killed after so many lines."""
    said: list[str] = []
    async with aclosing(moving(ends)) as process:
        async for line in process:
            said.append(line)
            if len(said) == lines:
                break
    return said


async def fill(ends: Ends) -> list[str]:
    """Items of all kinds, each with a key; their ids."""
    shelf = ends.source
    ids = await shelf.put(*[new_item(key=key(str(number))) for number in range(ITEMS)])
    claims = await shelf.take(limit=ITEMS // 2)
    ends_of = (succeed, retry, give_up)
    decided = [ends_of[number % 3](claim) for number, claim in enumerate(claims[:-5])]
    await shelf.settle(*decided)
    return ids


async def test_a_killed_move_loses_nothing(tmp_path: Path) -> None:
    """Killed again and again, at any step, it ends with the same answers to every question."""
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    ends = Ends(tmp_path / "tirelessd.db")
    await ends.source.store.open()
    await ends.database.open()
    ids = await fill(ends)
    keys = [("work", key(str(number))) for number in range(ITEMS)]
    before = await answers(ends.source.store, ids, keys, states=[None])
    await ends.source.store.close()
    batches = 2 * ITEMS // BATCH_ROWS
    pools = PostgresPools(config(ends.database.url), SystemClock(), Recorder())

    said = [
        await killed_after(ends, lines)
        for lines in (
            chance.randrange(2, batches // 2),
            chance.randrange(2, batches // 2),
            # Into the comparison, whatever the two before have left.
            batches + 5,
        )
    ]
    with pytest.raises(Misconfigured, match="moved here in part only"):
        await pools.open()
    *_, last = [line async for line in moving(ends)]

    assert last == "moved"
    begun_at = [int(lines[0].split()[1]) for lines in said]
    assert begun_at[0] < begun_at[1] < begun_at[2]
    assert said[2][-1].startswith("comparing")
    await ends.target.store.open()
    assert await answers(ends.target.store, ids, keys, states=[None]) == before
    await ends.target.store.close()
