"""Every test of the command line starts in an empty folder, without variables of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working directory."""
    for variable in [name for name in os.environ if name.startswith("TIRELESSD_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def config(folder: Path) -> Path:
    """The least configuration that is complete, on ports of the system's choice."""
    path = folder / "tirelessd.yaml"
    path.write_text(
        "store: sqlite:./tirelessd.db\n"
        "api: {port: 0}\n"
        "ops: {port: 0}\n"
        "queues: {q: {handler: {type: echo}}}\n",
        encoding="utf-8",
    )
    return path
