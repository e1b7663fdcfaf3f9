"""No knob is lost between the settings and the part that it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tirelessd.api.limits import Limits
from tirelessd.engine.handlers.http import HttpConfig
from tirelessd.parts import http_config, make_limits
from tirelessd.settings import HttpHandlerSettings, LimitsSettings, parse

SMALL: dict[str, Any] = {"store": "sqlite:./t.db", "queues": {"q": {"handler": {"type": "echo"}}}}


MODULES = """
import asyncio, sys
from tirelessd.daemon import Daemon
from tirelessd.settings import parse

async def build():
    Daemon(parse({"store": "sqlite:./t.db", "queues": {"q": {"handler": {"type": "echo"}}}}))

asyncio.run(build())
print(sorted(name for name in sys.modules if name.startswith("asyncpg")))
"""


def test_an_embedded_store_imports_no_database_driver(tmp_path: Path) -> None:
    """Not a module of it: a laptop neither waits for it nor gives memory to it."""
    ended = subprocess.run(
        [sys.executable, "-c", MODULES], capture_output=True, text=True, cwd=tmp_path, check=True
    )

    assert ended.stdout == "[]\n"


def test_every_http_knob_reaches_the_handler() -> None:
    """What is configured for an http handler is what its config holds."""
    knobs: dict[str, Any] = {
        "url": "http://models/predict",
        "headers": {"x-key": "secret"},
        "forward_headers": ("x-tenant",),
        "connect_timeout_seconds": 1.0,
        "read_timeout_seconds": 2.0,
        "response_bytes": 3,
        "keepalive_seconds": 4.0,
        "ca_file": "own.pem",
        "destination": "models",
    }

    config = http_config(HttpHandlerSettings(type="http", **knobs), slots=5)

    assert config == HttpConfig(**knobs, slots=5)
    # The timeout of the attempt as a whole is the engine's, for handlers of every type.
    assert HttpHandlerSettings.model_fields.keys() - knobs.keys() == {
        "type",
        "attempt_timeout_seconds",
        # One of the headers that are passed on, as `test_allowed_baggage_is_passed_on` shows.
        "forward_baggage",
    }


def test_allowed_baggage_is_passed_on() -> None:
    """Its keys are intake's business, for the handler it is a header like others."""
    handler: dict[str, Any] = {
        "type": "http",
        "url": "http://models/predict",
        "forward_headers": ["x-tenant"],
        "forward_baggage": ["tenant"],
    }

    settings = parse({**SMALL, "queues": {"q": {"handler": handler}}})

    (queue,) = settings.queue_configs
    assert (queue.forward_headers, queue.baggage_keys) == (("x-tenant", "baggage"), ("tenant",))
    assert http_config(HttpHandlerSettings(**handler), slots=5).forward_headers == (
        "x-tenant",
        "baggage",
    )


def test_every_limit_reaches_the_api() -> None:
    """What is configured as a limit is what the API keeps, each under its own name."""
    # One more than the default of each: allowed, and no value that another limit has by default.
    limits: dict[str, Any] = {
        name: field.default + 1 for name, field in LimitsSettings.model_fields.items()
    }

    settings = parse({**SMALL, "limits": limits})

    assert make_limits(settings) == Limits(**limits)
    # Each listener's own, and nobody's to set.
    assert {*limits, "descriptor_share"} == {*Limits.__struct_fields__}
