"""Tracing is wanted on purpose, and only with what it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    settings = parse({**SMALL, "tracing": {"headers": {"authorization": "Bearer goldfinch"}}})

    assert "goldfinch" not in str(settings.shown)


def test_the_page_about_traces_shows_settings_that_hold() -> None:
    """Whoever copies them has a daemon that traces."""
    page = Path(__file__).parents[2].joinpath("docs/tracing.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    settings = parse(yaml.safe_load(example))

    assert settings.tracing.enabled
    assert settings.queue_configs[0].baggage_keys == ("tenant",)


def test_baggage_is_forwarded_in_one_way_only() -> None:
    """As a whole or by its keys: both at once would be a wish and its opposite."""
    handler = {"type": "echo", "forward_headers": ["baggage"], "forward_baggage": ["tenant"]}

    with pytest.raises(SettingsError) as caught:
        parse({**SMALL, "queues": {"q": {"handler": handler}}})

    (problem,) = caught.value.problems
    assert problem.setting == "queues.q.handler.forward_baggage"
