"""Tracing is wanted on purpose, and only with what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tirelessd.settings import SettingsError, parse

SMALL: dict[str, Any] = {"store": "sqlite:./t.db", "queues": {"q": {"handler": {"type": "echo"}}}}

MODULES = """
import asyncio, sys
from tirelessd.daemon import Daemon
from tirelessd.settings import parse

async def build():
    Daemon(parse({"store": "sqlite:./t.db", "queues": {"q": {"handler": {"type": "echo"}}}}))

asyncio.run(build())
print(sorted(name for name in sys.modules if "opentelemetry" in name or "protobuf" in name))
"""


def test_a_daemon_that_does_not_trace_imports_nothing_for_it(tmp_path: Path) -> None:
    """Not a module of OpenTelemetry, though it is installed here."""
    ended = subprocess.run(
        [sys.executable, "-c", MODULES], capture_output=True, text=True, cwd=tmp_path, check=True
    )

    assert ended.stdout == "[]\n"


def test_tracing_without_the_extra_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before anything starts, and names what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    for name in [*sys.modules]:
        if name.startswith("opentelemetry."):
            monkeypatch.delitem(sys.modules, name)

    with pytest.raises(SettingsError) as caught:
        parse({**SMALL, "tracing": {"enabled": True}})

    (problem,) = caught.value.problems
    assert problem.setting == "tracing.enabled"
    assert "tirelessd[tracing]" in problem.message


def test_tracing_is_off_unless_asked_for() -> None:
    """And every queue has attempts in the usual place then."""
    settings = parse(SMALL)

    assert not settings.tracing.enabled
    assert settings.queue_configs[0].trace_relation == "hybrid"


def test_a_collector_s_key_is_not_shown() -> None:
    """It is as secret as an upstream's."""
    settings = parse({**SMALL, "tracing": {"headers": {"authorization": "Bearer canary"}}})

    assert "canary" not in str(settings.shown)
