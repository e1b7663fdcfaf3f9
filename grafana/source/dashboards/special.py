"""Panels that show more than lines and numbers: distributions, states, log lines, alerts."""

from collections.abc import Sequence
from typing import Final

from grafana.source.dashboards.panels import (
    AMBER,
    FULL,
    GREEN,
    LOKI,
    PLOT,
    RED,
    Model,
    fields,
    latest,
    panel,
    query,
)

STATE_COLOURS: Final = (AMBER, GREEN, "purple", RED)


def heatmap(
    title: str, unit: str, says: str, expression: str, *, size: tuple[int, int] = PLOT
) -> Model:
    """A histogram over time; the query gives its buckets by `le`."""
    return panel(
        "heatmap",
        title,
        says,
        [query(expression, "{{le}}", format="heatmap")],
        size=size,
        fieldConfig=fields("short"),
        options={
            "calculate": False,
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
            "yAxis": {"unit": unit},
            "cellGap": 1,
            "tooltip": {"mode": "single"},
        },
    )


def distribution(
    title: str, unit: str, says: str, expression: str, *, size: tuple[int, int] = PLOT
) -> Model:
    """A histogram of the whole time that is picked; the query gives its buckets by `le`."""
    return panel(
        "bargauge",
        title,
        says,
        [latest(expression, "{{le}}", format="heatmap")],
        size=size,
        fieldConfig=fields(unit, min=0, color={"mode": "fixed", "fixedColor": GREEN}),
        options={
            "orientation": "horizontal",
            "displayMode": "basic",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )


def states(
    title: str,
    says: str,
    expression: str,
    legend: str,
    names: Sequence[str],
    *,
    size: tuple[int, int] = PLOT,
) -> Model:
    """What each of some things was when; the query's values count the names from 1."""
    mapping = {
        str(number): {"text": name, "color": colour, "index": number}
        for number, (name, colour) in enumerate(zip(names, STATE_COLOURS, strict=False), start=1)
    }
    return panel(
        "state-timeline",
        title,
        says,
        [query(expression, legend)],
        size=size,
        fieldConfig=fields("none", mappings=[{"type": "value", "options": mapping}]),
        options={"mergeValues": True, "showValue": "auto", "rowHeight": 0.8},
    )


def logs(title: str, says: str, expression: str, *, size: tuple[int, int] = FULL) -> Model:
    """Lines of the log, the newest first."""
    return panel(
        "logs",
        title,
        says,
        [{"datasource": LOKI, "expr": expression, "queryType": "range"}],
        size=size,
        fieldConfig=fields("string"),
        options={"showTime": True, "sortOrder": "Descending", "enableLogDetails": True},
    )


def alerts(title: str, says: str, *, size: tuple[int, int]) -> Model:
    """The alerts that fire or are about to; Grafana asks Prometheus for them by itself."""
    return panel(
        "alertlist",
        title,
        says,
        [],
        size=size,
        fieldConfig=fields("none"),
        options={
            "alertName": "Tirelessd",
            "groupMode": "default",
            "maxItems": 20,
            "showInstances": True,
            "sortOrder": 3,
            "stateFilter": {"firing": True, "pending": True, "normal": False, "noData": False},
            "viewMode": "list",
        },
    )
