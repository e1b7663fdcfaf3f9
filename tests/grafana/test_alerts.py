"""Every alert fires when it should, says the right thing, and is silent when it should be.

The cases stand in rules/, a file for each alert, as promtool reads them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.source.rules import ALERTS, GROUPS, rendered
from grafana.source.rules.render import Choices
from tests.grafana.names import known_names, problems
from tests.grafana.queries import selectors
from tests.grafana.test_names import AWAITED, AWAITED_VALUES
from tests.grafana.test_rules import ALERT_NAMES, promtool

CASES = {
    path.stem: yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
    for path in sorted((Path(__file__).parent / "rules").glob("*.yaml"))
}
KNOWN = known_names()
ANNOTATIONS = {"summary", "description", "runbook_url", "dashboard_url"}

Rule = Mapping[str, Any]


def looks(name: str) -> Iterator[Mapping[str, Any]]:
    """Every moment at which the cases of an alert look at it."""
    for test in CASES[name]["tests"]:
        yield from test["alert_rule_test"]


def needed(alert: str, rules: Sequence[Rule]) -> Sequence[Rule]:
    """An alert's rules and the recorded ones they are made of, in their order.

    Evaluating all the others too takes ten times as long.
    """
    wanted: set[str] = set()
    kept = []
    for rule in reversed(rules):
        if rule.get("alert") == alert or rule.get("record") in wanted:
            kept.append(rule)
            wanted |= {selector.name for selector in selectors(rule["expr"])}
    return kept[::-1]


def tried(folder: Path, choices: Choices, names: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """One run of promtool over the cases of some alerts, on rules made by these choices."""
    groups = yaml.load(rendered(choices), yaml.CSafeLoader)["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    for name in names:
        group = {"name": "all", "rules": needed(name, rules)}
        (folder / f"{name}.rules").write_text(yaml.safe_dump({"groups": [group]}), "utf-8")
        cases = {**CASES[name], "rule_files": [f"{name}.rules"], "group_eval_order": ["all"]}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(cases), "utf-8")
    return promtool("test", "rules", *(str(folder / f"{name}.yaml") for name in names))


def test_alerts_fire_and_are_silent(tmp_path: Path) -> None:
    """All cases of all alerts hold, to the letter of what each alert says."""
    run = tried(tmp_path, Choices(), CASES)

    assert run.returncode == 0, run.stdout + run.stderr


def test_wrong_threshold_is_noticed(tmp_path: Path) -> None:
    """Alerts fail whose threshold never holds, or always does; the one beside them does not."""
    wrong = Choices(texts={"QueueStale.seconds": "30000", "RetryStorm.retries": "0"})
    names = ["TirelessdQueueStale", "TirelessdRetryStorm", "TirelessdUpstreamDown"]

    run = tried(tmp_path, wrong, names)

    assert run.returncode != 0
    assert failed(run.stdout + run.stderr) == {"TirelessdQueueStale", "TirelessdRetryStorm"}


def failed(output: str) -> set[str]:
    """The alerts that promtool complains of."""
    lines = [line.split() for line in output.splitlines()]
    return {words[1].rstrip(",") for words in lines if words[:1] == ["alertname:"]}


@pytest.mark.parametrize("alert", CASES)
def test_cases_can_be_run_by_hand(alert: str) -> None:
    """`promtool test rules` takes them as they stand: recorded series first, then the alerts."""
    groups = [f"tirelessd-{name}" for name in GROUPS]

    assert CASES[alert]["rule_files"] == ["../../../grafana/rules/tirelessd.rules.yaml"]
    assert CASES[alert]["group_eval_order"] == groups


@pytest.mark.parametrize("alert", sorted(f"Tirelessd{name}" for name in ALERT_NAMES))
def test_alert_has_cases(alert: str) -> None:
    """At least one in which it fires, for each of its rules, and one in which it is silent."""
    fired = [said for look in looks(alert) for said in look["exp_alerts"]]
    windows = {each.labels.get("window") for each in ALERTS if each.full_name == alert}
    silent = [test for test in CASES[alert]["tests"] if " is silent " in test["name"]]

    assert {said["exp_labels"].get("window") for said in fired} == windows
    assert silent
    assert not any(look["exp_alerts"] for test in silent for look in test["alert_rule_test"])


@pytest.mark.parametrize("alert", CASES)
def test_cases_are_of_the_alert(alert: str) -> None:
    """They look at nothing else, say what is the case, and assert every word of it."""
    names = [test["name"] for test in CASES[alert]["tests"]]
    fired = [said for look in looks(alert) for said in look["exp_alerts"]]

    assert {look["alertname"] for look in looks(alert)} == {alert}
    assert all(name.startswith((f"{alert} fires ", f"{alert} is silent ")) for name in names)
    assert len(names) == len(set(names))
    assert all(said["exp_annotations"].keys() == ANNOTATIONS for said in fired)


@pytest.mark.parametrize("alert", CASES)
def test_series_of_cases_could_be_scraped(alert: str) -> None:
    """A case with a misspelt series would be silent whatever the rule."""
    series = {each["series"] for test in CASES[alert]["tests"] for each in test["input_series"]}

    found = {problem for each in series for problem in problems(each, KNOWN, AWAITED)}

    assert found <= AWAITED_VALUES
