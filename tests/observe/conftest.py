"""Logs into files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.observe.events import PATIENCE_SECONDS
from tests.observe.written import Log, OpenLog


@pytest.fixture
def open_log(tmp_path: Path) -> Iterator[OpenLog]:
    """Logs that the test need not close."""
    logs: list[Log] = []

    def open_one(**options: Any) -> Log:
        log = Log(tmp_path / f"{len(logs)}.log", **options)
        logs.append(log)
        return log

    yield open_one
    for log in logs:
        log.logs.close(PATIENCE_SECONDS)


@pytest.fixture
def log(open_log: OpenLog) -> Log:
    """A log at info, in JSON."""
    return open_log()
