"""Every committed dashboard passes all seventeen rules, and every rule finds its kind of fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from tests.grafana.linter import RULES, lint

Change: TypeAlias = Callable[[dict[str, Any]], None]

FOLDER = Path(__file__).parents[2] / "grafana/dashboards"
PAGES = sorted(FOLDER.glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    """A dashboard as it is committed."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])


def variable(dashboard: dict[str, Any], name: str) -> dict[str, Any]:
    """One of its variables."""
    [found] = [each for each in dashboard["templating"]["list"] if each["name"] == name]
    return dict_of(found)


def panel(dashboard: dict[str, Any], type_: str = "timeseries") -> dict[str, Any]:
    """Its first panel of a type."""
    return dict_of(next(each for each in dashboard["panels"] if each["type"] == type_))


def dict_of(found: Any) -> dict[str, Any]:
    """What was found, as what it is."""
    assert isinstance(found, dict)
    return found


def asks(query: str, type_: str = "timeseries") -> Change:
    """The first panel of a type asks something else."""

    def change(dashboard: dict[str, Any]) -> None:
        panel(dashboard, type_)["targets"][0]["expr"] = query

    return change


def sets(variable_name: str, **values: Any) -> Change:
    """A variable is another one."""

    def change(dashboard: dict[str, Any]) -> None:
        variable(dashboard, variable_name).update(values)

    return change


def shows(type_: str = "timeseries", **values: Any) -> Change:
    """The first panel of a type is another one."""

    def change(dashboard: dict[str, Any]) -> None:
        panel(dashboard, type_).update(values)

    return change


def drops(name: str) -> Change:
    """A variable is not there."""

    def change(dashboard: dict[str, Any]) -> None:
        kept = [each for each in dashboard["templating"]["list"] if each["name"] != name]
        dashboard["templating"]["list"] = kept

    return change


def only_fixed_sources(dashboard: dict[str, Any]) -> None:
    """No datasource can be picked."""
    for kind in ("prometheus", "loki", "tempo"):
        drops(f"{kind}_datasource")(dashboard)


def is_editable(dashboard: dict[str, Any]) -> None:
    """It can be edited."""
    dashboard["editable"] = True


def column_without_unit(dashboard: dict[str, Any]) -> None:
    """The last column's unit is none that Grafana has."""
    for override in panel(dashboard, "table")["fieldConfig"]["overrides"]:
        for part in override["properties"]:
            part["value"] = "fortnights" if part["id"] == "unit" else part["value"]


SCOPE = 'job=~"$job",instance=~"$instance"'
BROKEN: list[tuple[str, Change]] = [
    ("template-datasource-rule", only_fixed_sources),
    ("template-datasource-rule", sets("loki_datasource", name="logs")),
    ("template-datasource-rule", sets("loki_datasource", label="Data source")),
    ("template-job-rule", drops("job")),
    ("template-job-rule", sets("job", label="job")),
    ("template-job-rule", sets("job", multi=False)),
    ("template-job-rule", sets("job", datasource={"uid": "prometheus"})),
    ("template-instance-rule", sets("instance", allValue=".*")),
    ("template-instance-rule", sets("instance", type="custom")),
    ("template-label-promql-rule", sets("queue", query="label_values(up{, queue)")),
    ("template-label-promql-rule", sets("queue", query="values_of(up, queue)")),
    ("template-on-time-change-reload-rule", sets("queue", refresh=1)),
    ("panel-datasource-rule", shows(datasource={"type": "prometheus", "uid": "prometheus"})),
    ("panel-datasource-rule", shows("heatmap", datasource=None)),
    ("panel-title-description-rule", shows(title="")),
    ("panel-title-description-rule", shows("stat", description="")),
    ("panel-units-rule", shows(fieldConfig={"defaults": {}, "overrides": []})),
    ("panel-units-rule", column_without_unit),
    ("panel-no-targets-rule", shows(targets=[])),
    ("target-logql-rule", asks("{app=} | json", "logs")),
    ("target-logql-rule", asks('app="tirelessd"', "logs")),
    ("target-logql-auto-rule", asks('rate({app="tirelessd"} | json [5m])', "logs")),
    ("target-promql-rule", asks(f"sum(up{{{SCOPE}}}")),
    ("target-promql-rule", asks("")),
    ("target-rate-interval-rule", asks(f"rate(a_total{{{SCOPE}}}[5m])")),
    ("target-rate-interval-rule", asks(f"sum(irate(a{{{SCOPE}}}[1m]))")),
    ("target-job-rule", asks('up{instance=~"$instance"}')),
    ("target-job-rule", asks('up{job="$job",instance=~"$instance"}')),
    ("target-instance-rule", asks(f'up{{{SCOPE}}} + up{{job=~"$job"}}')),
    ("target-instance-rule", asks('up{job=~"$job",instance=~"$instance|_all"}')),
    ("target-counter-agg-rule", asks(f"sum(a_total{{{SCOPE}}})")),
    ("target-counter-agg-rule", asks(f"max_over_time(a_total{{{SCOPE}}}[1h])")),
    ("uneditable-dashboard", is_editable),
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_committed_dashboard_passes_every_rule(path: Path) -> None:
    """All seventeen, with no exception."""
    assert lint(read(path)) == {}


def test_all_rules_are_there() -> None:
    """Seventeen, and each is shown to fail."""
    assert len(RULES) == 17
    assert {name for name, _ in BROKEN} == RULES.keys()
    assert len(PAGES) == 5


@pytest.mark.parametrize(("name", "change"), BROKEN)
def test_a_rule_finds_what_it_is_there_for(name: str, change: Change) -> None:
    """A dashboard with one thing wrong fails that rule."""
    dashboard = read(FOLDER / "tirelessd-queue.json")
    overview = read(FOLDER / "tirelessd-overview.json")
    dashboard["panels"] += [panel(overview, "stat"), panel(overview, "table")]

    change(dashboard)

    assert name in lint(dashboard)


@pytest.mark.parametrize(
    "query",
    [
        '{app="tirelessd"} | json | event="item.dead" | queue=~"$queue"',
        '{app="tirelessd", namespace=~"a|b"} |= "dead" != `x`',
        'sum by (queue) (rate({app="tirelessd"} | json | level="error" [$__auto]))',
    ],
)
def test_what_loki_reads_is_no_finding(query: str) -> None:
    """Lines with their filters, and counts of them that fit any zoom."""
    dashboard = read(FOLDER / "tirelessd-queue.json")

    asks(query, "logs")(dashboard)

    assert lint(dashboard) == {}


def test_growth_over_a_day_is_no_rate() -> None:
    """`increase` may have a length of its own: a day's dead letters are just that."""
    dashboard = read(FOLDER / "tirelessd-queue.json")

    asks(f"sum(increase(a_total{{{SCOPE}}}[24h]))")(dashboard)

    assert lint(dashboard) == {}
