"""`tirelessd migrate-store` as its caller sees it: what it prints, and what it exits with."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.clock import ManualClock
from tests.postgres import execute, make_database
from tests.store.shelf import Shelf, key, new_item
from tirelessd.cli import program
from tirelessd.cli.transfer import PLAIN_SECONDS, progress
from tirelessd.core.clock import SystemClock
from tirelessd.store.sqlite import SqliteStore
from tirelessd.store.transfer.move import Progress

URL = "postgresql://somebody:hunter2@127.0.0.1:1/nowhere"
MOVE = ("migrate-store", "--allow-unsafe-durability", "--from", "sqlite:./tirelessd.db", "--to")


@pytest.fixture
def filled(folder: Path) -> Path:
    """An embedded store with three items, one of which is running and one of which has a key."""

    async def fill() -> None:
        path = folder / "tirelessd.db"
        shelf = Shelf(lambda _clock: SqliteStore(path, clock=SystemClock()))
        await shelf.store.open()
        await shelf.put(new_item(), new_item("other", delay_seconds=60.0), new_item(key=key()))
        await shelf.take(limit=1)
        await shelf.store.close()

    asyncio.run(fill())
    return folder / "tirelessd.db"


@pytest.fixture
def url() -> str:
    """An empty database."""
    return asyncio.run(make_database())


def test_a_move_tells_what_it_moved(
    filled: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What there was, how it went, and each table's rows with the checksum of both sides."""
    code = program.run([*MOVE, url])

    shown = capsys.readouterr().out
    assert code == 0
    assert "3 items (1 leased, 2 queued), 1 idempotency keys, 0 pauses" in shown
    assert "moving 4 of 4\ncomparing 4 of 4\n" in shown
    assert re.search(r"^items +3 rows  sha256 [0-9a-f]{64}$", shown, re.MULTILINE)
    assert "the same on both sides" in shown


def test_a_second_move_tells_of_the_first(
    filled: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """To run it once more is no mistake, and does nothing."""
    program.run([*MOVE, url])

    code = program.run([*MOVE, url])

    assert code == 0
    assert re.search(
        r"was moved to .* UTC, .*; nothing to do$", capsys.readouterr().out, re.MULTILINE
    )


def test_a_dry_run_changes_nothing(
    filled: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It looks at both ends, not even making tables, and says what a move would do."""
    codes = [program.run([*MOVE, url, "--dry-run"]) for _ in range(2)]

    shown = capsys.readouterr().out
    assert codes == [0, 0]
    assert shown.count("empty, its tables are still to be made\neverything would be moved") == 2


def test_a_dry_run_finds_what_a_move_would_refuse(
    filled: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that the daemon need not be stopped for long in vain."""
    program.run([*MOVE, url])
    asyncio.run(execute(url, "DELETE FROM transfers"))

    code = program.run([*MOVE, url, "--dry-run"])

    assert code == 2
    assert "give an empty database" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        (URL, "sqlite:./new.db", "there is one way only"),
        ("sqlite:./a.db", "sqlite:./b.db", "there is one way only"),
        (URL, URL, "there is one way only"),
        ("tirelessd.db", URL, "--from: must be sqlite:///absolute/path"),
        ("sqlite:./a.db", "mysql://x/y", "--to: must be sqlite:///absolute/path"),
        ("sqlite:./a.db", URL, "a.db is not there"),
    ],
)
def test_other_pairs_are_refused(
    source: str, target: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one line that says what there is instead, and with no password in it."""
    code = program.run(["migrate-store", "--from", source, "--to", target])

    captured = capsys.readouterr()
    assert code == 2
    assert told in captured.err
    assert captured.err.count("\n") == 1
    assert "hunter2" not in captured.out + captured.err


def test_a_database_out_of_reach_is_told(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be there later, so the code is that of a failure."""
    code = program.run([*MOVE, URL])

    assert code == 1
    assert "PostgreSQL at 127.0.0.1:1/nowhere: " in capsys.readouterr().err


def test_a_store_in_use_is_told(filled: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever holds it is named; stopping it helps, so the code is that of a failure."""
    store = SqliteStore(filled, clock=SystemClock())
    with asyncio.Runner() as runner:
        runner.run(store.open())

        # Beside a loop that stands still, as another process would.
        code = asyncio.run(asyncio.to_thread(program.run, [*MOVE, url]))

        runner.run(store.close())
    assert code == 1
    assert "is in use by process" in capsys.readouterr().err


def test_unsafe_durability_is_refused_unless_allowed(
    filled: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that may lose what was accepted is no better a place than the file."""
    name = url.partition("?")[0].rpartition("/")[2]
    asyncio.run(execute(url, f"ALTER DATABASE {name} SET synchronous_commit = off"))

    code = program.run([part for part in (*MOVE, url) if part != "--allow-unsafe-durability"])

    assert code == 2
    assert (
        "is off on the server, so that what was accepted could be lost" in capsys.readouterr().err
    )


def test_progress_is_a_line_now_and_then_without_a_terminal() -> None:
    """A log gets a line every few seconds, and one at the end of each step."""
    clock = ManualClock()
    console = Console(record=True, force_terminal=False, width=80, file=sys.stderr)

    with progress(console, clock.monotonic) as show:
        for done in range(5):
            show(Progress("moving", done, 4))
            clock.advance(PLAIN_SECONDS / 2)

    assert console.export_text().splitlines() == ["moving 2 of 4", "moving 4 of 4"]


def test_progress_is_a_bar_on_a_terminal() -> None:
    """With counts and the time that is left, in place, and gone at the end."""
    console = Console(record=True, force_terminal=True, width=80, file=sys.stderr)

    with progress(console, ManualClock().monotonic) as show:
        show(Progress("moving", 4, 4))
        show(Progress("comparing", 1, 4))

    shown = console.export_text()
    assert "moving" in shown
    assert "1/4" in shown
