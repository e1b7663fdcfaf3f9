"""Every test of the settings starts without variables of ours."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("TIRELESSD_")]:
        monkeypatch.delenv(variable)
