"""What the rig knows of a pod is what the chart says, in either shape."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubelet.deployment import SHARED
from tests.kubelet.spec import spec_of_chart


@pytest.mark.parametrize("values", [{}, {"store": SHARED}], ids=["embedded", "shared"])
def test_pods_are_those_of_the_chart(values: dict[str, Any]) -> None:
    """Its probes are read, and its grace has room for both drains and a little more."""
    spec = spec_of_chart(**values)

    assert spec.drain_seconds > spec.pre_drain_seconds > 0
    assert spec.closing_seconds >= 5
    assert spec.readiness.path == "/readyz"
