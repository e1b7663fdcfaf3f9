"""A store is moved to PostgreSQL between two daemons; its callers go on as if nothing had been."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import model
from tests.postgres import make_database
from tests.waiting import wait_until
from tirelessd.cli import program
from tirelessd.core.errors import Misconfigured
from tirelessd.daemon import Daemon
from tirelessd.settings import parse
from tirelessd.store.postgres.config import PostgresConfig
from tirelessd.store.transfer.target import open_target

REQUEST_ID = re.compile(rb'"request_id":"[^"]*"')
PATIENCE_SECONDS = 10.0
ITEMS = "/v1/queues/predictions/items"
TROUBLES = ("", "hopeless", "later")
STATES = ("succeeded", "dead", "retrying", "succeeded", "scheduled")
KEY = {"Idempotency-Key": "order-7"}


def settings(store: str) -> dict[str, Any]:
    """A configuration of which the store alone is changed."""
    handler = {"type": "python", "function": "tests.model:predict"}
    return {
        "store": store,
        "store_postgresql": {"allow_unsafe_durability": True},
        "api": {"port": 0},
        "ops": {"port": 0},
        "drain_seconds": 0.5,
        "queues": {"predictions": {"handler": handler, "slots": 2}},
    }


@asynccontextmanager
async def caller_of(store: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a daemon on a store, as long as the daemon lives."""
    daemon = Daemon(parse(settings(store)))
    await daemon.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{daemon.api_port}") as session:
            yield session
    finally:
        await daemon.stop()


async def answer(session: aiohttp.ClientSession, path: str) -> tuple[int, str, bytes]:
    """Whatever a caller gets to see of an answer, but for the number of the question."""
    async with session.get(path) as response:
        content = REQUEST_ID.sub(b"", await response.read())
        return response.status, response.content_type, content


async def submit(session: aiohttp.ClientSession, trouble: str, **headers: str) -> tuple[Any, bool]:
    """Hand an image in; the item's id, and whether it is a replay."""
    image = {"image": f"{trouble}.png", "trouble": trouble}
    async with session.post(ITEMS, json=image, headers=headers) as response:
        assert response.status == 202, await response.text()
        return (await response.json())["id"], "Idempotency-Replayed" in response.headers


async def all_answers(session: aiohttp.ClientSession, ids: list[str]) -> list[Any]:
    """Every item from every side, the lists, and the dead letters."""
    paths = [f"/v1/items/{each}{part}" for each in ids for part in ("", "/payload", "/result")]
    lists = [f"{ITEMS}?limit=2", f"{ITEMS}?state=retrying", "/v1/dead-letters"]
    return [await answer(session, path) for path in paths + lists]


async def wait_shown(session: aiohttp.ClientSession, item_id: str, state: str) -> None:
    """Return once the item is shown in a state."""

    async def is_there() -> bool:
        _, _, item = await answer(session, f"/v1/items/{item_id}")
        return f'"shown_state":"{state}"'.encode() in item

    await wait_until(is_there, PATIENCE_SECONDS)


async def run(*arguments: str) -> int:
    """The program's exit code, from a thread, for it has an event loop of its own."""
    return await asyncio.to_thread(program.run, arguments)


async def test_no_caller_notices_the_move(tmp_path: Path) -> None:
    """Items, bodies, lists and dead letters are answered the same, keys too, and work goes on."""
    model.MENDED.clear()
    file, database = f"sqlite://{tmp_path}/tirelessd.db", await make_database()
    async with caller_of(file) as session:
        ids = [(await submit(session, trouble))[0] for trouble in TROUBLES]
        ids.append((await submit(session, "", **KEY))[0])
        ids.append((await submit(session, "", **{"Tirelessd-Delay": "3600"}))[0])
        for item_id, state in zip(ids, STATES, strict=True):
            await wait_shown(session, item_id, state)
        before = await all_answers(session, ids)

    code = await run("migrate-store", "--allow-unsafe-durability", "--from", file, "--to", database)

    assert code == 0
    async with caller_of(database) as session:
        assert await all_answers(session, ids) == before
        assert await submit(session, "", **KEY) == (ids[3], True)
        model.MENDED.add("hopeless.png")
        async with session.post("/v1/dead-letters/redrive", json={"all": True}) as response:
            assert await response.json() == {"count": 1, "remaining": 0}
        fresh, is_replay = await submit(session, "")
        for each in (ids[1], fresh):
            await wait_shown(session, each, "succeeded")
        assert not is_replay


async def test_a_daemon_does_not_start_in_the_middle_of_a_move() -> None:
    """It says in one line what is missing, and which command goes on with it."""
    database = await make_database()
    config = PostgresConfig(url=database, allows_unsafe_durability=True)
    async with open_target(config) as target:
        await target.bring_up()
        await target.begin("sqlite-00c0ffee", 1, [])

    with pytest.raises(Misconfigured) as refusal:
        await Daemon(parse(settings(database))).start()

    assert str(refusal.value).startswith("store: PostgreSQL at ")
    assert str(refusal.value).endswith(
        "the embedded store sqlite-00c0ffee has been moved here in part only: run tirelessd "
        "migrate-store again, which goes on where it stopped"
    )
