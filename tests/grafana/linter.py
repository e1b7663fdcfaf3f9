"""The seventeen rules of Grafana's dashboard linter, as far as they go and in places further.

Each rule takes a dashboard and gives what is wrong with it. They apply to every kind of panel that
asks Prometheus or Loki anything, and no value mapping excuses a missing unit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from tests.grafana.queries import RATE_INTERVAL, Selector, parsed, selectors

Dashboard: TypeAlias = Mapping[str, Any]
Rule: TypeAlias = Callable[[Dashboard], Iterator[str]]

RELOADS_ON_TIME_CHANGE: Final = 2
PROMETHEUS_NAMES: Final = {"${datasource}", "$datasource"} | {
    f"{start}prometheus_datasource{end}" for start, end in (("$", ""), ("${", "}"))
}
VARIABLE_FUNCTIONS: Final = {"label_names", "label_values", "metrics", "query_result"}
# What may stand without a query: it asks by itself, or says something of its own.
ASKS_NOTHING: Final = {"row", "text", "alertlist", "dashlist", "news"}
# Of the units that Grafana has, those that a queue can have use for.
UNITS: Final = frozenset(
    {
        *("none", "string", "short", "percent", "percentunit", "bool", "bool_yes_no"),
        *("bytes", "decbytes", "bits", "Bps", "bps"),
        *("ns", "µs", "ms", "s", "m", "h", "d", "dtdurations", "hertz", "dateTimeFromNow"),
        *("cps", "ops", "reqps", "rps", "wps", "iops", "opm", "rpm"),
    }
)

LOGQL_STRING: Final = r'(?:"(?:[^"\\]|\\.)*"|`[^`]*`)'
LOGQL_MATCHER: Final = rf"\s*[a-zA-Z_]\w*\s*(?:=~|!~|!=|=)\s*{LOGQL_STRING}\s*"
LOGQL_STAGE: Final = (
    rf"\s*(?:(?:\|=|\|~|!=|!~)\s*{LOGQL_STRING}"
    r"|\|\s*(?:json|logfmt|unpack)"
    rf"|\|\s*(?:pattern|regexp|line_format)\s*{LOGQL_STRING}"
    rf"|\|{LOGQL_MATCHER})"
)
LOGQL_LINES: Final = rf"\s*\{{{LOGQL_MATCHER}(?:,{LOGQL_MATCHER})*\}}(?:{LOGQL_STAGE})*\s*"
LOGQL_COUNT: Final = (
    rf"\s*(?:sum|max|min|avg|count)?(?:\s*by\s*\([\w\s,]*\))?\s*\(?\s*"
    rf"(?:rate|count_over_time|bytes_rate|bytes_over_time)\s*\({LOGQL_LINES}\[[^\]]+\]\s*\)\s*\)?\s*"
)


def lint(dashboard: Dashboard) -> dict[str, list[str]]:
    """What each rule finds, of the rules that find anything."""
    found = {name: list(rule(dashboard)) for name, rule in RULES.items()}
    return {name: findings for name, findings in found.items() if findings}


def variables(dashboard: Dashboard, type_: str) -> list[Mapping[str, Any]]:
    """The variables of a type."""
    return [each for each in dashboard["templating"]["list"] if each["type"] == type_]


def asking(dashboard: Dashboard) -> list[Mapping[str, Any]]:
    """The panels that are there to ask something."""
    return [each for each in dashboard["panels"] if each["type"] not in ASKS_NOTHING]


def asked(dashboard: Dashboard, type_: str) -> Iterator[tuple[str, str]]:
    """Every query of one type of datasource, after the title of its panel."""
    for panel in asking(dashboard):
        for target in panel.get("targets") or ():
            if (target.get("datasource") or panel["datasource"])["type"] == type_:
                yield panel.get("title", ""), target.get("expr", "")


def legible(dashboard: Dashboard) -> Iterator[tuple[str, Selector]]:
    """Every selector of every query that can be read, after the title of its panel."""
    for title, query in asked(dashboard, "prometheus"):
        try:
            found = selectors(query)
        except ValueError:
            continue  # another rule tells
        for selector in found:
            yield title, selector


def template_datasource(dashboard: Dashboard) -> Iterator[str]:
    """Which datasource is asked can be picked, by a variable named after its type."""
    sources = variables(dashboard, "datasource")
    if not sources:
        yield "no datasource can be picked"
    for each in sources:
        names = {f"{each['query']}_datasource"}
        labels = {f"{each['query'].title()} data source"}
        if len(sources) == 1:
            names, labels = names | {"datasource"}, labels | {"Data source"}
        if each["name"] not in names:
            yield f"the variable {each['name']} is none of {sorted(names)}"
        if each["label"] not in labels:
            yield f"the label {each['label']} is none of {sorted(labels)}"


def template_of(name: str) -> Rule:
    """The rule for a variable that every page has."""

    def rule(dashboard: Dashboard) -> Iterator[str]:
        by_name = {each["name"]: each for each in dashboard["templating"]["list"]}
        there = by_name.get(name)
        if there is None:
            yield f"no variable {name}"
            return
        wanted = {"type": "query", "label": name.title(), "multi": True, "allValue": ".+"}
        for key, value in wanted.items():
            if there.get(key) != value:
                yield f"{name}: {key} is {there.get(key)}, not {value}"
        if there["datasource"]["uid"] not in PROMETHEUS_NAMES:
            yield f"{name} asks {there['datasource']['uid']}"

    return rule


def template_label_promql(dashboard: Dashboard) -> Iterator[str]:
    """What variables ask is a function that there is, of a query that can be read."""
    for each in variables(dashboard, "query"):
        found = re.fullmatch(r"([a-z_]+)\((.+?)(?:,\s*\w+)?\)", each["query"])
        if found is None or found[1] not in VARIABLE_FUNCTIONS:
            yield f"{each['name']} asks {each['query']}"
        else:
            yield from (f"{each['name']}: {error}" for error in errors_in(found[2]))


def errors_in(query: str) -> Iterator[str]:
    """Why a query cannot be read; nothing if it can."""
    try:
        parsed(query)
    except ValueError as error:
        yield f"{query}: {error}"


def template_on_time_change_reload(dashboard: Dashboard) -> Iterator[str]:
    """Variables know the values of the time that is picked."""
    for each in variables(dashboard, "query"):
        if each["refresh"] != RELOADS_ON_TIME_CHANGE:
            yield f"{each['name']} is not asked anew when the time changes"


def panel_datasource(dashboard: Dashboard) -> Iterator[str]:
    """Panels ask the datasource that is picked."""
    names = [each["name"] for each in variables(dashboard, "datasource")]
    uids = {f"${name}" for name in names} | {f"${{{name}}}" for name in names}
    for panel in asking(dashboard):
        if (panel.get("datasource") or {}).get("uid") not in uids:
            yield f"{panel.get('title')} asks {panel.get('datasource')}"


def panel_title_description(dashboard: Dashboard) -> Iterator[str]:
    """Panels say what they are."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row" and not (panel.get("title") and panel.get("description")):
            yield f"panel {panel['id']} has no title or no description"


def panel_units(dashboard: Dashboard) -> Iterator[str]:
    """Panels have a unit, and so have the columns of a table that have one of their own."""
    for panel in asking(dashboard):
        units = [panel["fieldConfig"]["defaults"].get("unit")]
        for override in panel["fieldConfig"]["overrides"]:
            units += [part["value"] for part in override["properties"] if part["id"] == "unit"]
        for unit in units:
            if unit not in UNITS:
                yield f"{panel.get('title')} has the unit {unit}"


def panel_no_targets(dashboard: Dashboard) -> Iterator[str]:
    """Panels ask something."""
    for panel in asking(dashboard):
        if not panel.get("targets"):
            yield f"{panel.get('title')} asks nothing"


def target_logql(dashboard: Dashboard) -> Iterator[str]:
    """Queries of the log can be read."""
    for title, query in asked(dashboard, "loki"):
        if not re.fullmatch(f"{LOGQL_LINES}|{LOGQL_COUNT}", query):
            yield f"{title}: {query}"


def target_logql_auto(dashboard: Dashboard) -> Iterator[str]:
    """Counts of log lines fit any zoom."""
    for title, query in asked(dashboard, "loki"):
        if any(length != "$__auto" for length in re.findall(r"\[([^\]]+)\]", query)):
            yield f"{title}: {query}"


def target_promql(dashboard: Dashboard) -> Iterator[str]:
    """Queries of metrics can be read."""
    for title, query in asked(dashboard, "prometheus"):
        yield from (f"{title}: {error}" for error in errors_in(query))


def target_rate_interval(dashboard: Dashboard) -> Iterator[str]:
    """Rates fit any zoom."""
    for title, each in legible(dashboard):
        if each.around[:1] in (("rate",), ("irate",)) and each.range != RATE_INTERVAL:
            yield f"{title}: the rate of {each.name} has a length of its own"


def target_matcher(label: str) -> Rule:
    """The rule for a matcher that every selector has."""

    def rule(dashboard: Dashboard) -> Iterator[str]:
        for title, each in legible(dashboard):
            if ("=~", f"${label}") not in [(m.operator, m.value) for m in each.matching(label)]:
                yield f"{title}: {each.name} is not of the {label} that is picked"

    return rule


def target_counter_agg(dashboard: Dashboard) -> Iterator[str]:
    """Of counters their growth is shown."""
    growth = {"rate", "irate", "increase"}
    for title, each in legible(dashboard):
        is_grown = each.range is not None and growth.issuperset(each.around[:1] or ("",))
        if each.name.endswith("_total") and not is_grown:
            yield f"{title}: {each.name} is shown as it is"


def uneditable(dashboard: Dashboard) -> Iterator[str]:
    """Nobody edits by hand what code writes."""
    if dashboard.get("editable", True):
        yield "it can be edited"


RULES: Final[Mapping[str, Rule]] = {
    "template-datasource-rule": template_datasource,
    "template-job-rule": template_of("job"),
    "template-instance-rule": template_of("instance"),
    "template-label-promql-rule": template_label_promql,
    "template-on-time-change-reload-rule": template_on_time_change_reload,
    "panel-datasource-rule": panel_datasource,
    "panel-title-description-rule": panel_title_description,
    "panel-units-rule": panel_units,
    "panel-no-targets-rule": panel_no_targets,
    "target-logql-rule": target_logql,
    "target-logql-auto-rule": target_logql_auto,
    "target-promql-rule": target_promql,
    "target-rate-interval-rule": target_rate_interval,
    "target-job-rule": target_matcher("job"),
    "target-instance-rule": target_matcher("instance"),
    "target-counter-agg-rule": target_counter_agg,
    "uneditable-dashboard": uneditable,
}
