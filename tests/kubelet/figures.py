"""Figures of the long form: what a run came to, kept in build/kubelet for the pages that tell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parents[2] / "build" / "kubelet"


def note(name: str, **figures: Any) -> None:
    """Show a run's figures, and keep them under its name."""
    text = msgspec.json.format(msgspec.json.encode(figures))
    sys.stdout.write(f"{name}: {text.decode()}\n")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_bytes(text)
