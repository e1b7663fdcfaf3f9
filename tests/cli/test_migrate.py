"""`tirelessd migrate` as its caller sees it: what it prints, and what it exits with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from tests.postgres import execute, make_database
from tirelessd.cli import program
from tirelessd.cli.commands import app
from tirelessd.core.clock import SystemClock
from tirelessd.store.postgres.migrate import latest
from tirelessd.store.sqlite import SqliteStore
from tirelessd.store.sqlite.schema import MIGRATIONS

MIGRATE = ("migrate", "--config", "tirelessd.yaml")
CHECK = (*MIGRATE, "--check")
TAKE_BACK = "DROP TABLE redrives; ALTER TABLE commits DROP COLUMN identity; PRAGMA user_version = 3"


def configure(folder: Path, store: str) -> None:
    """Write a configuration with this store."""
    (folder / "tirelessd.yaml").write_text(
        f"store: {store}\n"
        "store_postgresql: {allow_unsafe_durability: true}\n"
        "queues: {q: {handler: {type: echo}}}\n",
        encoding="utf-8",
    )


@pytest.fixture
def url(folder: Path) -> str:
    """An empty database, which is configured."""
    url = asyncio.run(make_database())
    configure(folder, url)
    return url


def test_a_check_tells_what_is_missing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step by its name and exit code 1; nothing is made by looking."""
    codes = [program.run(CHECK) for _ in range(2)]

    shown = capsys.readouterr().out
    assert codes == [1, 1]
    assert shown.count(": 0001 first is missing\n") == 2
    assert shown.count(" is missing\n") == 2 * latest()


def test_each_step_is_told_and_made_once(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run has nothing to do, and a check finds nothing missing."""
    codes = [program.run(MIGRATE), program.run(MIGRATE), program.run(CHECK)]

    shown = capsys.readouterr().out
    assert codes == [0, 0, 0]
    assert shown.count(": applied 0001 first\n") == 1
    assert shown.count(": applied ") == latest()
    assert shown.count(f": the schema has version {latest()}, as this tirelessd needs it\n") == 2
    assert shown.endswith(f"the schema has version {latest()}, and this tirelessd can use it\n")


@pytest.mark.parametrize("command", [MIGRATE, CHECK], ids=["migrate", "check"])
def test_a_schema_of_the_future_is_left_alone(
    url: str, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """One that left this version behind is exit code 2; one that did not may be used."""
    program.run(MIGRATE)
    asyncio.run(execute(url, "INSERT INTO schema_versions VALUES (98, 'wider', 1)"))
    code_of_wider = program.run(command)
    asyncio.run(execute(url, "INSERT INTO schema_versions VALUES (99, 'narrower', 98)"))

    code = program.run(command)

    line = capsys.readouterr().err
    assert (code_of_wider, code) == (0, 2)
    assert line.startswith("tirelessd: store: PostgreSQL at ")
    assert "its schema has version 99, which needs a tirelessd of schema 98 or newer" in line


def test_a_database_that_is_away_may_come(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, so that whoever runs it may run it again, and one line without the password."""
    configure(folder, "postgresql://u:hunter2@127.0.0.1:1/x")

    code = program.run(MIGRATE)

    line = capsys.readouterr().err
    assert code == 1
    assert line.startswith("tirelessd: store: PostgreSQL at 127.0.0.1:1/x: ")
    assert "hunter2" not in line


def test_an_embedded_store_is_made_and_brought_up(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the daemon's start would; a check tells of a file that is not there, or that lacks."""
    configure(folder, "sqlite:./tirelessd.db")
    codes = [program.run(CHECK), program.run(MIGRATE)]
    database = apsw.Connection("tirelessd.db")
    database.execute(TAKE_BACK)
    database.close()

    codes += [program.run(CHECK), program.run(MIGRATE), program.run(CHECK)]

    shown = capsys.readouterr().out
    assert codes == [1, 0, 1, 0, 0]
    assert "is not there; the first start makes it\n" in shown
    assert f"the schema has version 3, and {len(MIGRATIONS)} is needed\n" in shown


@pytest.mark.parametrize("command", [MIGRATE, CHECK], ids=["migrate", "check"])
async def test_an_embedded_store_in_use_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """Its daemon has it to itself, and has brought it up already; the line says who."""
    configure(folder, "sqlite:./tirelessd.db")
    store = SqliteStore(folder / "tirelessd.db", clock=SystemClock())
    await store.open()

    code = await asyncio.to_thread(program.run, command)

    await store.close()
    assert code == 1
    assert capsys.readouterr().err.startswith("tirelessd: store: ")


def test_the_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help is told of it."""
    app(["migrate", "--help"], prog_name="tirelessd", standalone_mode=False)

    assert "Exit code 0: it fits." in capsys.readouterr().out
