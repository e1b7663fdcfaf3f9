"""What Grafana is told fits the dashboards, and the README tells how to get there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from grafana.source import rules
from grafana.source.dashboards import models
from tests.grafana.names import recorded
from tests.grafana.queries import selectors

FOLDER: Final = Path(__file__).parents[2] / "grafana"
README: Final = (FOLDER / "README.md").read_text(encoding="utf-8")


def provisioned(name: str) -> dict[str, Any]:
    """One file that Grafana reads at its start."""
    text = (FOLDER / "provisioning" / name / "tirelessd.yaml").read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def test_dashboards_are_read_only_files() -> None:
    """Nobody edits what code writes, and the README mounts them where Grafana looks."""
    [provider] = provisioned("dashboards")["providers"]

    assert provider["allowUiUpdates"] is False
    assert f'"$PWD/dashboards:{provider["options"]["path"]}:ro"' in README


def test_there_is_a_datasource_for_each_that_can_be_picked() -> None:
    """Prometheus first, which every page needs; Loki and Tempo for those who have them."""
    sources = provisioned("datasources")["datasources"]
    picked = [
        each["query"] for each in models()[0]["templating"]["list"] if each["type"] == "datasource"
    ]

    assert [each["type"] for each in sources] == picked == ["prometheus", "loki", "tempo"]
    assert [each["editable"] for each in sources] == [False] * 3
    assert [each.get("isDefault", False) for each in sources] == [True, False, False]


def test_numbers_lines_and_traces_lead_to_each_other() -> None:
    """From a dot to its trace, from a line to its trace, from a trace to its lines."""
    numbers, lines, traces = (
        each["jsonData"] for each in provisioned("datasources")["datasources"]
    )

    assert numbers["exemplarTraceIdDestinations"] == [
        {"name": "trace_id", "datasourceUid": "tempo"}
    ]
    [field] = lines["derivedFields"]
    found = re.search(field["matcherRegex"], '{"event":"item.dead","trace_id":"4bf92f35"}')
    assert found is not None
    assert found[1] == "4bf92f35"
    assert traces["tracesToLogsV2"]["datasourceUid"] == "loki"


def test_addresses_are_told_in_the_readme() -> None:
    """Every variable that the files ask for."""
    asked = {
        name
        for file in (FOLDER / "provisioning").rglob("*.yaml")
        for name in re.findall(r"(?<!\$)\$([A-Z]\w+)", file.read_text(encoding="utf-8"))
    }

    assert asked == {"PROMETHEUS_URL", "PROMETHEUS_SCRAPE_INTERVAL", "LOKI_URL", "TEMPO_URL"}
    assert sorted(name for name in asked if name not in README) == []


def test_every_page_is_told_in_the_readme() -> None:
    """By the name that it has in Grafana."""
    titles = [model["title"].removeprefix("tirelessd / ") for model in models()]

    told = re.findall(r"^\| ([A-Z]\w+) \|", README, re.MULTILINE)
    assert told == titles


def test_what_needs_the_rules_is_told_in_the_readme() -> None:
    """All else works on the bare metrics."""
    names = recorded(rules.files())
    needing = {
        panel["title"]
        for model in models()
        for panel in model["panels"]
        for target in panel.get("targets", ())
        if target["datasource"]["type"] == "prometheus"
        and any(selector.name in names for selector in selectors(target["expr"]))
    }

    assert needing == {"Backlog", "Promises", *(f"Burn over {w}" for w in ("1h", "6h", "3d"))}
    assert "`Backlog`, and the burn rates of `Promises`" in README
