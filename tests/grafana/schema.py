"""The shape of a dashboard as Grafana reads it, as far as the pages make use of it.

A key that Grafana does not know is ignored by it without a word; here it is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec


class Shape(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A part of it: no key but these."""


class Source(Shape):
    """Which datasource is asked."""

    type: Literal["prometheus", "loki", "tempo"]
    uid: str


class Place(Shape):
    """Where a panel is on the grid of 24 columns."""

    x: int
    y: int
    w: int
    h: int


class Target(Shape):
    """One query."""

    ref_id: str
    datasource: Source
    expr: str
    legend_format: str = ""
    range: bool = False
    instant: bool = False
    exemplar: bool = False
    format: Literal["time_series", "table", "heatmap"] = "time_series"
    query_type: Literal["range", "instant"] | None = None


class Part(Shape):
    """One property that an override sets."""

    id: str
    value: Any


class Matcher(Shape):
    """Which fields an override is for."""

    id: Literal["byName"]
    options: str


class Override(Shape):
    """What is shown otherwise."""

    matcher: Matcher
    properties: list[Part]


class Colour(Shape):
    """Where a colour comes from."""

    mode: Literal["fixed", "thresholds", "palette-classic"]
    fixed_color: str | None = None


class Step(Shape):
    """A colour from a value on."""

    value: float | None
    color: str


class Thresholds(Shape):
    """Colours by value."""

    mode: Literal["absolute", "percentage"]
    steps: list[Step]


class Mapped(Shape):
    """What stands for a value."""

    text: str
    color: str
    index: int


class Words(Shape):
    """Words for values."""

    type: Literal["value"]
    options: dict[str, Mapped]


class PanelLink(Shape):
    """Where a click leads to."""

    title: str
    url: str
    target_blank: bool = False


class Defaults(Shape):
    """How values are shown."""

    unit: str
    color: Colour | None = None
    custom: dict[str, Any] | None = None
    min: float | None = None
    decimals: int | None = None
    mappings: list[Words] | None = None
    thresholds: Thresholds | None = None
    links: list[PanelLink] | None = None


class FieldConfig(Shape):
    """How values are shown, and which of them otherwise."""

    defaults: Defaults
    overrides: list[Override]


class Transformation(Shape):
    """What is done to answers before they are shown."""

    id: Literal["merge", "organize", "configFromData"]
    options: dict[str, Any]


class Panel(Shape):
    """A panel, or the row that heads some."""

    id: int
    type: str
    title: str
    grid_pos: Place
    description: str = ""
    datasource: Source | None = None
    targets: list[Target] = []
    field_config: FieldConfig | None = None
    options: dict[str, Any] = {}
    transformations: list[Transformation] = []
    collapsed: bool | None = None
    panels: list[Any] | None = None
    repeat: str | None = None
    interval: str | None = None
    time_from: str | None = None
    max_data_points: int | None = None


class Picked(Shape):
    """What a variable says at first."""

    selected: bool
    text: list[str]
    value: list[str]


class Variable(Shape):
    """What can be picked at the top."""

    name: str
    label: str
    type: Literal["datasource", "query"]
    query: str
    refresh: Literal[1, 2]
    hide: Literal[0, 1, 2] = 0
    datasource: Source | None = None
    definition: str | None = None
    sort: int | None = None
    multi: bool | None = None
    include_all: bool | None = None
    all_value: str | None = None
    current: Picked | None = None


class Annotation(Shape):
    """Marks across all panels."""

    name: str
    datasource: Source
    enable: bool
    icon_color: str
    expr: str
    step: str
    title_format: str
    tag_keys: str | None = None
    use_value_for_time: bool | None = None


class Link(Shape):
    """What stands at the top right."""

    type: Literal["dashboards", "link"]
    title: str
    url: str | None = None
    tags: list[str] | None = None
    as_dropdown: bool | None = None
    keep_time: bool = False
    include_vars: bool = False


class Variables(Shape):
    """All of them."""

    each: list[Variable] = msgspec.field(name="list")


class Annotations(Shape):
    """All of them."""

    each: list[Annotation] = msgspec.field(name="list")


class Time(Shape):
    """What is shown at first."""

    from_: str = msgspec.field(name="from")
    to: str


class Dashboard(Shape):
    """A page."""

    uid: str
    title: str
    description: str
    tags: list[str]
    editable: bool
    graph_tooltip: Literal[0, 1, 2]
    schema_version: int
    version: int
    timezone: Literal["utc", "browser"]
    time: Time
    refresh: str
    templating: Variables
    annotations: Annotations
    links: list[Link]
    panels: list[Panel]


# The options that each kind of panel knows.
OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "row": frozenset(),
    "timeseries": frozenset({"legend", "tooltip"}),
    "stat": frozenset({"colorMode", "graphMode", "textMode", "justifyMode", "reduceOptions"}),
    "table": frozenset({"showHeader", "sortBy"}),
    "heatmap": frozenset({"calculate", "color", "yAxis", "cellGap", "tooltip"}),
    "bargauge": frozenset({"orientation", "displayMode", "reduceOptions"}),
    "state-timeline": frozenset({"mergeValues", "showValue", "rowHeight"}),
    "logs": frozenset({"showTime", "sortOrder", "enableLogDetails"}),
    "alertlist": frozenset(
        {
            *("alertName", "groupMode", "maxItems", "sortOrder", "stateFilter", "viewMode"),
            "showInstances",
        }
    ),
}
