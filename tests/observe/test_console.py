"""On a terminal the log is for people."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.observe.events import PATIENCE_SECONDS, CountingTally, ManualClock
from tests.observe.written import OpenLog, raised
from tirelessd.observe.lines import ERROR_UNEXPECTED, STORE_HEALED
from tirelessd.observe.logs import Logs


def read_terminal(descriptor: int) -> str:
    """What was written to the terminal behind a pseudo-terminal, its other end being closed."""
    text = b""
    while True:
        try:
            piece = os.read(descriptor, 4096)
        except OSError:
            return text.decode()
        text += piece


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a line to a terminal, and say what it shows."""
    monkeypatch.delenv("NO_COLOR", raising=False)

    def write(form: str, **fields: Any) -> str:
        reader, writer = os.openpty()
        with os.fdopen(writer, "w") as stream:
            logs = Logs(
                level="info",
                format=form,  # type: ignore[arg-type]
                version="1.2.3",
                clock=ManualClock(),
                tally=CountingTally(),
                stream=stream,
            )
            logs.write(ERROR_UNEXPECTED, **fields)
            logs.close(PATIENCE_SECONDS)
        text = read_terminal(reader)
        os.close(reader)
        return text

    return write


def test_a_terminal_gets_columns(on_terminal: Callable[..., str]) -> None:
    """People want the time of day, colours, and no braces."""
    text = on_terminal("auto", where="here")

    assert text.startswith("\x1b[")
    assert "08:00:00.000Z" in text
    assert "{" not in text


def test_a_terminal_gets_json_when_asked(on_terminal: Callable[..., str]) -> None:
    """The format is a setting; a terminal only decides `auto`."""
    assert on_terminal("json", where="here").startswith('{"ts":')


def test_colours_can_be_declined(
    on_terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR is how a person says it (no-color.org)."""
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[" not in on_terminal("auto", where="here")


def test_a_traceback_stays_in_its_margin(open_log: OpenLog) -> None:
    """No line of it can be taken for a line of the log."""
    log = open_log(format="console")

    forged = "x\n08:00:00.000Z [error    ] item.dead"
    log.logs.write(ERROR_UNEXPECTED, where="here", exc_info=raised(RuntimeError(forged)))

    first, *rest = log.text().splitlines()
    assert first.startswith("08:00:00.000Z [error")
    assert rest
    assert all(line.startswith("  | ") for line in rest)


def test_a_file_gets_json(open_log: OpenLog) -> None:
    """`auto` away from a terminal is for machines."""
    log = open_log(format="auto")

    log.logs.write(STORE_HEALED)

    assert log.text().startswith('{"ts":')
