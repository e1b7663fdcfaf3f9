"""What the registry has, what dashboards and rules ask for, and that the two agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from grafana.source import rules
from grafana.source.dashboards import models
from tests.grafana.names import FOREIGN, family_name, known_names, problems, registered, rules_in
from tests.grafana.queries import selectors

KNOWN = known_names()
MODELS = models()

# Specified, used already, and not in the registry yet. Empty when all is there.
AWAITED: Final[frozenset[str]] = frozenset()
AWAITED_VALUES: Final = frozenset(
    {
        # Of a store behind a network: a file has one writer.
        "tirelessd_store_errors_total: kind is never serialization",
    }
)

# Families that no page and no rule shows: each answers a question that comes up rarely, and then
# with the series itself.
ON_DEMAND: Final[Mapping[str, str]] = {}


def panel_queries() -> dict[str, str]:
    """Every PromQL query of every panel, by where it stands."""
    return {
        f"{model['uid']} / {panel['title']} / {target['refId']}": target["expr"]
        for model in MODELS
        for panel in model["panels"]
        for target in panel.get("targets", ())
        if target["datasource"]["type"] == "prometheus"
    }


def annotation_queries() -> dict[str, str]:
    """The query of every annotation."""
    return {
        f"{model['uid']} / {each['name']}": each["expr"]
        for model in MODELS
        for each in model["annotations"]["list"]
    }


def rule_queries() -> dict[str, str]:
    """The expression of every rule."""
    return {named(rule): rule["expr"] for rule in rules_in(rules.files())}


def named(rule: Mapping[str, Any]) -> str:
    """What a rule is called."""
    return str(rule.get("alert") or rule["record"])


QUERIES = panel_queries() | annotation_queries() | rule_queries()


def test_queries_ask_for_what_there_is() -> None:
    """Metrics, labels and values of labels exist, so that no panel is empty for ever."""
    found = {
        place: set(problems(query, KNOWN, AWAITED)) - AWAITED_VALUES
        for place, query in QUERIES.items()
    }

    assert {place: said for place, said in found.items() if said} == {}


def test_nothing_is_awaited_that_is_there() -> None:
    """The list of promised names shrinks as they come."""
    there = {family_name(name) for name in KNOWN} | set(KNOWN)

    found = {problem for query in QUERIES.values() for problem in problems(query, KNOWN)}
    assert sorted(AWAITED & there) == []
    assert sorted(AWAITED_VALUES - found) == []


def used_names() -> set[str]:
    """Every name that any query asks for."""
    return {selector.name for query in QUERIES.values() for selector in selectors(query)}


def test_every_family_is_shown_or_on_demand() -> None:
    """A family that nobody looks at is not there for anybody, unless a reason is given."""
    used = {family_name(name) for name in used_names()}

    families = {family_name(name) for name in registered() if name.startswith("tirelessd_")}
    assert sorted(families - used - ON_DEMAND.keys()) == []
    assert sorted(used & ON_DEMAND.keys()) == []


def test_names_of_others_are_used() -> None:
    """The list of foreign names has none too many."""
    assert sorted(set(FOREIGN) - used_names()) == []


def test_alerts_lead_to_pages_that_there_are() -> None:
    """The address of each alert's page has the name of one, and variables that it has."""
    variables = {
        model["uid"]: {each["name"] for each in model["templating"]["list"]} for model in MODELS
    }
    addresses = {
        named(rule): rule["annotations"]["dashboard_url"]
        for rule in rules_in(rules.files())
        if "alert" in rule
    }

    for alert, address in addresses.items():
        found = re.search(r"/d/([\w-]+)", address)
        assert found is not None, alert
        assert found[1] in variables, alert
        assert set(re.findall(r"var-(\w+)=", address)) <= variables[found[1]], alert
