"""The recipe by which pods are added and taken away, as the chart has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.helm.chart import render, the
from tests.kubelet.hpa import Recipe, recipe_of

VALUES: Mapping[str, Any] = {
    "upstream": {"url": "http://models:8000/predict"},
    "store": {"postgresql": {"secret": {"name": "database"}}},
    "monitoring": {"prometheusRule": {"enabled": True}},
    "autoscaling": {"kind": "hpa"},
}


def recipe_of_chart() -> Recipe:
    """What the chart's HorizontalPodAutoscaler says by default."""
    return recipe_of(the(render(VALUES), "HorizontalPodAutoscaler"))
