"""A dashboard around its panels: variables, annotations, links, and the places on the grid."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from grafana.source.dashboards.panels import AMBER, BLUE, GREEN, GRID, PROMETHEUS, RED, Model
from grafana.source.dashboards.promql import daemon, highest

TAG: Final = "tirelessd"
QUEUE_PAGE: Final = "tirelessd-queue"
REFRESH_ON_TIME_CHANGE: Final = 2
SHARED_CROSSHAIR: Final = 1

# Keeps the time and the datasource of the page that the link is on.
KEPT: Final = "${__url_time_range}&${prometheus_datasource:queryparam}"
OF_FLEET: Final = "${cluster:queryparam}&${namespace:queryparam}&${job:queryparam}"


def datasource_variable(kind: str) -> Model:
    """Which of the datasources of a kind the page asks."""
    return {
        "name": f"{kind}_datasource",
        "label": f"{kind.title()} data source",
        "type": "datasource",
        "query": kind,
        "refresh": 1,
        "hide": 0,
    }


def variable(name: str, query: str, *, all_value: str = ".+") -> Model:
    """One of a label's values, several, or all."""
    return {
        "name": name,
        "label": name.title(),
        "type": "query",
        "datasource": PROMETHEUS,
        "query": f"label_values({query}, {name})",
        "definition": f"label_values({query}, {name})",
        "refresh": REFRESH_ON_TIME_CHANGE,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": all_value,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def variables(*more: Model) -> list[Model]:
    """Those of every page; each is narrowed down by what stands before it."""
    build = "tirelessd_build_info"
    cluster, namespace, job = 'cluster=~"$cluster"', 'namespace=~"$namespace"', 'job=~"$job"'
    return [
        *(datasource_variable(kind) for kind in ("prometheus", "loki", "tempo")),
        # Outside a cluster there are no such labels, which only a pattern that may be empty finds.
        variable("cluster", build, all_value=".*"),
        variable("namespace", f"{build}{{{cluster}}}", all_value=".*"),
        variable("job", f"{build}{{{cluster}, {namespace}}}"),
        variable("instance", f"{build}{{{cluster}, {namespace}, {job}}}"),
        variable("queue", daemon("tirelessd_queue_items")),
        *more,
    ]


def annotation(name: str, colour: str, expression: str, title: str, **more: Any) -> Model:
    """What happened when, as marks across all panels."""
    return {
        "name": name,
        "datasource": PROMETHEUS,
        "enable": True,
        "iconColor": colour,
        "expr": expression,
        "step": "30s",
        "titleFormat": title,
        **more,
    }


def annotations() -> list[Model]:
    """Deploys, restarts, drains, and alerts that fire."""
    build = highest(daemon("tirelessd_build_info"), "version", "revision")
    before = highest(f"{daemon('tirelessd_build_info')} offset 5m", "version", "revision")
    draining = highest(daemon("tirelessd_lifecycle_state", 'state="draining"'), "instance")
    firing = 'ALERTS{alertname=~"Tirelessd.*", alertstate="firing", job=~"$job|"}'
    return [
        annotation("Deploys", BLUE, f"{build} unless {before}", "Deploy {{version}} {{revision}}"),
        annotation(
            "Restarts",
            AMBER,
            f"{daemon('process_start_time_seconds')} * 1000",
            "Start of {{instance}}",
            useValueForTime=True,
        ),
        annotation("Drains", GREEN, f"{draining} == 1", "Drain of {{instance}}"),
        annotation(
            "Firing alerts", RED, firing, "{{alertname}} {{queue}}", tagKeys="severity,component"
        ),
    ]


def explore(datasource: str, query: Model) -> str:
    """The address of a query in Grafana's Explore."""
    source = {"type": datasource, "uid": f"${{{datasource}_datasource}}"}
    panes = {
        "a": {
            "datasource": source["uid"],
            "queries": [{"refId": "A", "datasource": source, **query}],
            "range": {"from": "${__from}", "to": "${__to}"},
        }
    }
    # Whatever else would end a parameter; Grafana finds its variables before the address is read.
    text = quote(msgspec.json.encode(panes), safe="${}:,[]")
    return f"/explore?schemaVersion=1&panes={text}"


def links() -> list[Model]:
    """To the other dashboards, to the traces and to the log."""
    traces = explore(
        "tempo", {"queryType": "traceql", "query": f'{{resource.service.name="{TAG}"}}'}
    )
    lines = explore("loki", {"expr": '{app="tirelessd"} | json | level=~"warning|error"'})
    return [
        {
            "type": "dashboards",
            "title": "Tirelessd",
            "tags": [TAG],
            "asDropdown": True,
            "keepTime": True,
            "includeVars": True,
        },
        *(
            {"type": "link", "title": title, "url": url, "keepTime": False, "includeVars": False}
            for title, url in (("Traces", traces), ("Log", lines))
        ),
    ]


def to_queue(value: str = "${__field.labels.queue}") -> Model:
    """A link from a point, or from a cell with another value, to the page of its queue."""
    return {
        "title": "Open this queue",
        "url": f"/d/{QUEUE_PAGE}?{KEPT}&{OF_FLEET}&var-queue={value}",
    }


def to_traces(queue: str) -> Model:
    """A link to the traces of a queue's attempts."""
    spans = f'{{resource.service.name="{TAG}" && name="process {queue}"}}'
    address = explore("tempo", {"queryType": "traceql", "query": spans})
    return {"title": "Traces of these attempts", "url": address, "targetBlank": True}


def row(title: str, *panels: Model, **more: Any) -> Model:
    """Panels under a heading."""
    return {"type": "row", "title": title, "collapsed": False, "panels": list(panels), **more}


def laid_out(rows: Sequence[Model]) -> Iterator[Model]:
    """The panels of all rows, each with its place: from left to right, then down."""
    y = 0
    for each in rows:
        yield {**each, "panels": [], "gridPos": {"h": 1, "w": GRID, "x": 0, "y": y}}
        y += 1
        x, height = 0, 0
        for one in each["panels"]:
            wide, high = one["size"]
            if x + wide > GRID:
                x, y, height = 0, y + height, 0
            place = {"h": high, "w": wide, "x": x, "y": y}
            yield {**{key: one[key] for key in one if key != "size"}, "gridPos": place}
            x, height = x + wide, max(height, high)
        y += height


def board(
    uid: str, title: str, says: str, *rows: Model, since: str = "now-6h", more: Sequence[Model] = ()
) -> Model:
    """A dashboard; `more` are the variables that only it has."""
    return {
        "uid": uid,
        "title": f"tirelessd / {title}",
        "description": says,
        "tags": [TAG],
        "editable": False,
        "graphTooltip": SHARED_CROSSHAIR,
        "schemaVersion": 39,
        "version": 1,
        "timezone": "utc",
        "time": {"from": since, "to": "now"},
        "refresh": "30s",
        "templating": {"list": variables(*more)},
        "annotations": {"list": annotations()},
        "links": links(),
        "panels": [{"id": number, **each} for number, each in enumerate(laid_out(rows), start=1)],
    }
