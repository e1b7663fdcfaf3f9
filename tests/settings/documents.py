"""Configurations that the tests of the settings begin with."""

from __future__ import annotations

from typing import Any

from tirelessd.settings import SettingsError, parse

DIGEST = "0123456789abcdef" * 4


def document(**changes: Any) -> dict[str, Any]:
    """The least configuration that is complete, with changes."""
    queues = {"predictions": {"handler": {"type": "http", "url": "http://models:8000/predict"}}}
    return {"store": "sqlite:///data/tirelessd.db", "queues": queues, **changes}


def with_queue(**changes: Any) -> dict[str, Any]:
    """A configuration whose one queue, `q`, has these settings and an echo handler."""
    return document(queues={"q": {"handler": {"type": "echo"}, **changes}})


def token(**changes: Any) -> dict[str, Any]:
    """One bearer token as configured."""
    return {"name": "shop", "sha256": DIGEST, "scopes": ["submit", "read"], **changes}


def problems(document: dict[str, Any]) -> list[str]:
    """The lines that a configuration is refused with; empty when it is not."""
    try:
        parse(document)
    except SettingsError as error:
        return [str(problem) for problem in error.problems]
    return []
