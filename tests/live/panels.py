"""What the dashboards ask Prometheus for, as Grafana would send it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from grafana.source.dashboards import models

RATE_INTERVAL: Final = "10s"
DURATIONS: Final[Mapping[str, str]] = {
    "__rate_interval": RATE_INTERVAL,
    "__interval": "1s",
    "__range": "1m",
}
DURATION: Final = re.compile(r"\$\{?(__rate_interval|__interval|__range)\}?")
VARIABLE: Final = re.compile(r"\$\{?([a-z_]+)(?::[a-z]+)?\}?")
# Labels that there are only inside a cluster; their variables' value for all says so.
MAY_BE_EMPTY: Final = ("cluster", "namespace")


@dataclass(frozen=True)
class Query:
    """One query of a panel or of an annotation, with everything filled in."""

    place: str
    expression: str
    legend: str = ""
    is_instant: bool = False


def filled(expression: str) -> str:
    """An expression with all values of every variable picked."""
    lengths = DURATION.sub(lambda found: DURATIONS[found[1]], expression)
    return VARIABLE.sub(lambda found: ".*" if found[1] in MAY_BE_EMPTY else ".+", lengths)


def queries_of(panel: Mapping[str, Any], place: str) -> Iterator[Query]:
    """What a panel asks Prometheus for."""
    for target in panel.get("targets", ()):
        if target["datasource"]["type"] == "prometheus":
            yield Query(
                f"{place} / {panel['title']} / {target['refId']}",
                filled(target["expr"]),
                target.get("legendFormat", ""),
                bool(target.get("instant")),
            )


def all_queries() -> list[Query]:
    """Those of every panel and annotation of all dashboards."""
    return [query for model in models() for query in model_queries(model)]


def model_queries(model: Mapping[str, Any]) -> Iterator[Query]:
    """Those of one dashboard."""
    for panel in model["panels"]:
        yield from queries_of(panel, model["uid"])
    for each in model["annotations"]["list"]:
        yield Query(f"{model['uid']} / {each['name']}", filled(each["expr"]))
