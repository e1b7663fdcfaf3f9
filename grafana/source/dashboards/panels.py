"""Panels: plain dicts in the words of Grafana's own JSON, each with a unit and a description.

A panel has no place yet: `size` is how much of the grid it takes, and `board` lays it out.
"""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any, Final, TypeAlias

Model: TypeAlias = dict[str, Any]

PROMETHEUS: Final = {"type": "prometheus", "uid": "${prometheus_datasource}"}
LOKI: Final = {"type": "loki", "uid": "${loki_datasource}"}

# What a colour means, on every page.
GREEN, AMBER, RED, BLUE, GREY = "green", "orange", "red", "blue", "#8e8e8e"
MEANINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "outcome": {
        "success": GREEN,
        "succeeded": GREEN,
        "retry": AMBER,
        "give_up": RED,
        "dead": RED,
        "released": GREY,
        "cancelled": GREY,
    },
    "state": {
        "ready": BLUE,
        "scheduled": "light-blue",
        "retrying": AMBER,
        "running": "purple",
        "dead": RED,
    },
    "result": {
        "accepted": BLUE,
        "duplicate": "light-blue",
        "finished": GREEN,
        "released": GREY,
        "abandoned": RED,
    },
    "level": {"warning": AMBER, "error": RED, "critical": "dark-red"},
}
TARGET: Final = "target"

GRID: Final = 24
STAT: Final = (4, 5)
SIX: Final = (6, 8)
PLOT: Final = (8, 8)
WIDE: Final = (12, 8)
FULL: Final = (24, 9)

# A value that says that nothing ever happened.
NEVER: Final[Model] = {
    "type": "value",
    "options": {"-1": {"text": "never", "color": GREY, "index": 0}},
}


def query(expression: str, legend: str = "", **more: Any) -> Model:
    """What a panel shows over time."""
    return {
        "datasource": PROMETHEUS,
        "expr": expression,
        "legendFormat": legend,
        "range": True,
        **more,
    }


def latest(expression: str, legend: str = "", **more: Any) -> Model:
    """What a panel shows of the end of the time that is picked."""
    return query(expression, legend, **{"range": False, "instant": True, **more})


def target_line(expression: str) -> Model:
    """What was promised, as a line to compare with."""
    return query(expression, TARGET)


def panel(
    kind: str,
    title: str,
    says: str,
    queries: Sequence[Model],
    *,
    size: tuple[int, int],
    **more: Any,
) -> Model:
    """A panel of any kind; its queries are named A, B, C … in their order."""
    return {
        "type": kind,
        "title": title,
        "description": says,
        "datasource": queries[0]["datasource"] if queries else PROMETHEUS,
        "size": size,
        "targets": [
            {"refId": letter, **each}
            for letter, each in zip(ascii_uppercase, queries, strict=False)
        ],
        **more,
    }


def fields(unit: str, *, overrides: Sequence[Model] = (), **defaults: Any) -> Model:
    """How values are shown."""
    return {"defaults": {"unit": unit, **defaults}, "overrides": list(overrides)}


def override(name: str, **properties: Any) -> Model:
    """How the values of one name are shown."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def coloured(queries: Sequence[Model]) -> list[Model]:
    """Fixed colours for the words that the legends of queries may show."""
    legends = [each["legendFormat"] for each in queries]
    words = {
        word: colour
        for label, meanings in MEANINGS.items()
        for word, colour in meanings.items()
        if f"{{{{{label}}}}}" in legends or word in legends
    }
    lines = [
        override(word, color={"mode": "fixed", "fixedColor": colour})
        for word, colour in words.items()
    ]
    return [*lines, *([dashed(TARGET)] if TARGET in legends else [])]


def dashed(name: str) -> Model:
    """A line to compare with, not to be stacked on anything."""
    return override(
        name,
        color={"mode": "fixed", "fixedColor": RED},
        **{
            "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
            "custom.fillOpacity": 0,
            "custom.stacking": {"mode": "none"},
        },
    )


def timeseries(
    title: str,
    unit: str,
    says: str,
    *queries: Model,
    size: tuple[int, int] = PLOT,
    is_stacked: bool = False,
    link: Model | None = None,
    **custom: Any,
) -> Model:
    """Lines over time; `link` is where a point on one leads to."""
    lines = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if is_stacked else 10,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if is_stacked else "none", "group": "A"},
        **custom,
    }
    return panel(
        "timeseries",
        title,
        says,
        queries,
        size=size,
        fieldConfig=fields(
            unit,
            overrides=coloured(queries),
            color={"mode": "palette-classic"},
            custom=lines,
            links=[link] if link else [],
            min=None if custom.get("axisCenteredZero") else 0,
        ),
        options={
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def bars(
    title: str, unit: str, says: str, *queries: Model, size: tuple[int, int] = PLOT, **more: Any
) -> Model:
    """Bars over time, one upon the other."""
    made = timeseries(
        title, unit, says, *queries, size=size, is_stacked=True, drawStyle="bars", fillOpacity=80
    )
    return {**made, **more}


def steps(*pairs: tuple[float | None, str]) -> Model:
    """Colours by value, each from its value on; None is the least."""
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": colour} for value, colour in pairs],
    }


ANY_IS_BAD: Final = steps((None, GREEN), (1e-9, RED))
NEUTRAL: Final = steps((None, BLUE))


def stat(
    title: str,
    unit: str,
    says: str,
    *queries: Model,
    size: tuple[int, int] = STAT,
    colours: Model = NEUTRAL,
    mappings: Sequence[Model] = (),
    **more: Any,
) -> Model:
    """A number, as large as it fits."""
    return panel(
        "stat",
        title,
        says,
        queries,
        size=size,
        fieldConfig=fields(
            unit,
            color={"mode": "thresholds"},
            thresholds=colours,
            mappings=[*mappings],
            # A count over a window is reckoned from scrapes, and seldom comes out whole.
            decimals=0 if unit == "short" else None,
        ),
        options={
            "colorMode": "background",
            "graphMode": "none",
            "textMode": "auto",
            "justifyMode": "center",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
        **more,
    )


def judged(
    title: str,
    unit: str,
    says: str,
    value: Model,
    limit: Model,
    *,
    is_floor: bool = False,
    **more: Any,
) -> Model:
    """A number that is judged by another one: red above it, or below it if that is a floor."""
    base, beyond = (RED, GREEN) if is_floor else (GREEN, RED)
    return stat(
        title,
        unit,
        says,
        value,
        {**limit, "legendFormat": TARGET},
        colours=steps((None, base)),
        **more,
        transformations=[
            {
                "id": "configFromData",
                "options": {
                    "configRefId": "B",
                    "mappings": [
                        {
                            "fieldName": TARGET,
                            "handlerKey": "threshold1",
                            "handlerArguments": {"threshold": {"color": beyond}},
                        }
                    ],
                },
            }
        ],
    )


def table(
    title: str,
    says: str,
    *columns: tuple[str, str, str],
    size: tuple[int, int] = FULL,
    links: Mapping[str, Model] | None = None,
    sort_by: str = "",
) -> Model:
    """Rows by label; a column is its title, unit and query.

    `links` are where the cells of a label's column lead to.
    """
    letters = dict(zip(ascii_uppercase, columns, strict=False))
    linked = [override(label, links=[link]) for label, link in (links or {}).items()]
    return panel(
        "table",
        title,
        says,
        [latest(expression, format="table") for _, _, expression in columns],
        size=size,
        fieldConfig=fields(
            "short",
            overrides=[*(override(name, unit=unit) for name, unit, _ in columns), *linked],
            custom={"align": "auto", "filterable": True},
        ),
        options={"showHeader": True, "sortBy": [{"displayName": sort_by, "desc": True}]},
        transformations=[
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "renameByName": {
                        "Value" if len(letters) == 1 else f"Value #{letter}": name
                        for letter, (name, _, _) in letters.items()
                    },
                },
            },
        ],
    )
