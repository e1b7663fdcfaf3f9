"""A log into a file, and errors to write into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.observe.events import PATIENCE_SECONDS, CountingTally, ManualClock
from tirelessd.observe.logs import Logs

TOKEN = "kanarienvogel"


class Log:
    """A log into a file, and what stands in it."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.tally = CountingTally()
        self.clock = ManualClock()
        settings = {"level": "info", "format": "json", "version": "1.2.3", **options}
        with path.open("w") as stream:
            self.logs = Logs(clock=self.clock, tally=self.tally, stream=stream, **settings)

    def text(self) -> str:
        """Everything that was written; the log is closed then."""
        assert self.logs.close(PATIENCE_SECONDS)
        return self.path.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """Every line, parsed."""
        return [msgspec.json.decode(line) for line in self.text().splitlines()]


OpenLog = Callable[..., Log]


def raised(error: Exception) -> Exception:
    """The error with a traceback."""
    with pytest.raises(type(error)) as caught:
        fail(error)
    return caught.value


def fail(error: Exception) -> None:
    """Raise it."""
    raise error
