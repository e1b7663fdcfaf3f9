"""P10: a first start that is killed anywhere leaves nothing that the next one minds."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import apsw
import pytest
import yaml

from tests.faults.experiment import Experiment, Scale, configuration
from tests.faults.process import DaemonProcess
from tests.waiting import a_moment
from tirelessd.store.sqlite.schema import MIGRATIONS

END_SECONDS = 2.0
SECRET = "S3CRET-and-nobody-elses"
HANDLERS = "http://127.0.0.1:9/"
TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"


@pytest.mark.row("P10")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_first_start_may_be_killed_anywhere(experiment: Experiment, scale: Scale) -> None:
    """Ten kills within the first second, each with or without what the last one left."""
    daemon = experiment.make_daemon()
    for number in range(10):
        await daemon.launch()
        await a_moment(experiment.source.uniform(0.2, 1.0))
        await daemon.kill()
        if number % 2:
            for left in experiment.folder.glob("tirelessd.db*"):
                left.unlink()

    await daemon.start()
    async with experiment.load():
        await a_moment(2)
    await experiment.heal(5)

    await experiment.finish(without={"I8"})  # calm was never seen before the kills
    assert daemon.tracebacks() == []


def columns_of(database: apsw.Connection) -> dict[str, list[str]]:
    """The columns of every table."""
    tables = [str(name) for (name,) in database.execute(TABLES).fetchall()]
    return {
        table: [str(column) for _, column, *_ in database.execute(f"PRAGMA table_info({table})")]
        for table in tables
    }


def take_back_migrations(path: Path) -> None:
    """Make the file what the first version of the schema had it be."""
    first = apsw.Connection(":memory:")
    first.execute(MIGRATIONS[0])
    had = columns_of(first)
    database = apsw.Connection(str(path))
    # A start that was killed before it migrated has left fewer to take back.
    for table, columns in columns_of(database).items():
        if table not in had:
            database.execute(f"DROP TABLE {table}")
            continue
        for column in columns:
            if column not in had[table]:
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    database.execute("PRAGMA user_version = 1")
    database.close()


@pytest.mark.row("P10")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_migrating_start_may_be_killed_anywhere(experiment: Experiment) -> None:
    """What the first schema held is there and done after ten kills of starts that migrate."""
    await experiment.start()
    async with experiment.load(word="hang"):
        await a_moment(2)
    await experiment.kill()
    experiment.upstream.let_go.set()
    path = experiment.folder / "tirelessd.db"
    for _ in range(10):
        take_back_migrations(path)
        await experiment.daemon.launch()
        await a_moment(experiment.source.uniform(0.3, 1.0))
        await experiment.daemon.kill()

    await experiment.daemon.start()

    await experiment.heal(5)
    await experiment.finish(without={"I3", "I6", "I8"})  # each kill may have cost an attempt
    assert len(experiment.ledger.of("acked")) > 100


def broken(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Where a configuration is changed, and how."""
    return {"path": path, "value": value}


HEADERS = ("queues", "work", "handler", "headers")
BAD = {
    "nonsense": broken(("nonsense",), 1),
    "queues.work.slotz": broken(("queues", "work", "slotz"), 1),
    "queues.work.slots": broken(("queues", "work", "slots"), SECRET),
    "drain_seconds": broken(("drain_seconds",), [SECRET]),
    "auth.tokens[0].sha256": broken(
        ("auth",), {"tokens": [{"name": "a", "sha256": SECRET, "scopes": ["read"]}]}
    ),
    "queues.work.handler.headers.A": broken(HEADERS, {"A": {"file": "/nowhere/at/all"}}),
    "queues.work.handler.url": broken(
        ("queues", "work", "handler", "url"), f"http://{SECRET}:{SECRET}@127.0.0.1/"
    ),
    "store": broken(("store",), "sqlite:////nowhere/at/all/t.db"),
}


async def failed_start(folder: Path, config: dict[str, Any]) -> tuple[int, float, DaemonProcess]:
    """The exit code of a start that cannot be, how long it took, and the process."""
    daemon = DaemonProcess(folder, config)
    began_at = asyncio.get_running_loop().time()
    await daemon.launch()
    code = await daemon.wait(10)
    return code, asyncio.get_running_loop().time() - began_at, daemon


@pytest.mark.row("P10")
@pytest.mark.long
@pytest.mark.parametrize("setting", BAD)
async def test_bad_configuration_is_one_line(tmp_path: Path, setting: str) -> None:
    """It names the setting, never what it holds, and comes at once; the exit code is not 0."""
    config = configuration(tmp_path, HANDLERS)
    *sections, name = BAD[setting]["path"]
    section = config
    for each in sections:
        section = section[each]
    section[name] = BAD[setting]["value"]

    code, seconds, daemon = await failed_start(tmp_path, config)

    (line,) = daemon.stray_output
    assert code in (1, 2)
    assert seconds <= END_SECONDS
    assert line.startswith(f"tirelessd: {setting}:")
    assert SECRET not in line + str(daemon.lines)


@pytest.mark.row("P10")
@pytest.mark.long
@pytest.mark.parametrize("listener", ["api", "ops"])
async def test_busy_port_ends_the_start(tmp_path: Path, listener: str) -> None:
    """It is found before the store is touched, and said in one line that names the setting."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = configuration(tmp_path, HANDLERS)
        config[listener] = {"port": taken.getsockname()[1]}

        code, seconds, daemon = await failed_start(tmp_path, config)

    (line,) = daemon.stray_output
    assert (code, seconds <= END_SECONDS) == (1, True)
    assert line.startswith(f"tirelessd: {listener}.host, {listener}.port: cannot listen")
    assert not (tmp_path / "tirelessd.db").exists()


@pytest.mark.row("P10")
@pytest.mark.long
async def test_folder_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    """It is named, with the setting, and nothing is made elsewhere."""
    config = configuration(tmp_path, HANDLERS) | {"store": "sqlite:////proc/tirelessd.db"}

    code, seconds, daemon = await failed_start(tmp_path, config)

    (line,) = daemon.stray_output
    assert (code, seconds <= END_SECONDS) == (1, True)
    assert line.startswith("tirelessd: store: cannot write /proc/tirelessd.db")
    assert yaml.safe_load(daemon.config_path.read_text())["store"].endswith("/proc/tirelessd.db")
    assert os.listdir(tmp_path) == ["tirelessd.yaml"]  # noqa: PTH208
