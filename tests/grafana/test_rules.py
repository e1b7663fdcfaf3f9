"""The rules are ones that Prometheus takes, however they were chosen."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.source.rules import ALERTS, rendered, rule_groups
from grafana.source.rules.__main__ import main
from grafana.source.rules.render import Choices
from tests.grafana.queries import selectors

ALERT_NAMES = {alert.name for alert in ALERTS}
RULES = [rule for group in rule_groups(Choices()) for rule in group["rules"]]
SCOPED = [rule for group in rule_groups(Choices(namespace="shop")) for rule in group["rules"]]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of promtool, which is done when this returns."""
    program = shutil.which("promtool")
    assert program, "promtool is not on PATH; `make test` provides it"
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def rules_by_alert(choices: Choices) -> dict[str, dict[str, Any]]:
    """The first rule of each alert, by its name."""
    groups = yaml.load(rendered(choices), yaml.CSafeLoader)["groups"]
    rules = [rule for group in reversed(groups) for rule in reversed(group["rules"])]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def name_of(rule: dict[str, Any]) -> str:
    """What a rule is called, for the names of tests."""
    return str(rule.get("record") or rule["alert"] + rule["labels"].get("window", ""))


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    """As committed, sixty times faster, with every alert switched off, and with other numbers."""
    variants = {
        "default": Choices(),
        "scaled": Choices(scale=60),
        "silent": Choices(disabled=ALERT_NAMES),
        "other": Choices(texts={f"{a.name}.{t.name}": "7" for a in ALERTS for t in a.thresholds}),
    }
    for name, choices in variants.items():
        (tmp_path / f"{name}.yaml").write_text(rendered(choices), encoding="utf-8")

    checked = promtool(
        "check", "rules", "--lint=all", "--lint-fatal", *map(str, tmp_path.glob("*.yaml"))
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_recorded_series_come_to_what_they_say() -> None:
    """Totals over shared and own stores, seconds of work, shares of items and of slots."""
    cases = Path(__file__).with_name("recorded.yaml")

    tried = promtool("test", "rules", str(cases))

    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_there_are_34_alerts() -> None:
    """One of them, for the error budget, in four windows."""
    assert (len(ALERT_NAMES), len(ALERTS)) == (34, 37)


@pytest.mark.parametrize("rule", [rule for rule in RULES if "alert" in rule], ids=name_of)
def test_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """It has a severity, a component, and leads to its runbook and to a dashboard."""
    said = rule["annotations"]

    assert {"severity", "component"} <= rule["labels"].keys()
    assert all(text and text.strip() == text for text in said.values())
    assert said["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    assert said["dashboard_url"].startswith("/d/tirelessd-")
    assert ("$labels.queue" in said["description"]) == ("var-queue" in said["dashboard_url"])


def test_recorded_series_can_be_selected_by_instance() -> None:
    """They belong to none, so they say so; dashboards select by instance."""
    recorded = [rule for rule in RULES if "record" in rule]

    assert {rule["labels"]["instance"] for rule in recorded} == {"_all"}


def test_everything_can_be_replaced_by_text() -> None:
    """A threshold, a duration, a severity and the addresses may be a template's expressions."""
    chosen = Choices(
        texts={
            "QueueStale.seconds": "{{ .Values.stale }}",
            "QueueStale.for": "{{ .Values.for }}",
            "QueueStale.keep_firing_for": "{{ .Values.keep }}",
            "QueueStale.severity": "{{ .Values.severity }}",
        },
        job="{{ .Values.job }}",
        runbooks="{{ .Values.runbooks }}",
        dashboards="{{ .Values.dashboards }}",
    )

    rules = rules_by_alert(chosen)
    stale = rules["TirelessdQueueStale"]

    assert stale["expr"].count("{{ .Values.stale }}") == 2
    assert (stale["for"], stale["keep_firing_for"]) == ("{{ .Values.for }}", "{{ .Values.keep }}")
    assert stale["labels"]["severity"] == "{{ .Values.severity }}"
    assert stale["annotations"]["runbook_url"] == "{{ .Values.runbooks }}/TirelessdQueueStale.md"
    assert stale["annotations"]["dashboard_url"].startswith("{{ .Values.dashboards }}/tirelessd-")
    assert rules["TirelessdAbsent"]["expr"].startswith('absent(up{job="{{ .Values.job }}"})')


def test_time_can_run_faster() -> None:
    """At 1 to 60, ranges, durations and waits shrink alike; precision and counts do not."""
    rules = rules_by_alert(Choices(scale=60))

    behind = rules["TirelessdBacklogWillBreach"]
    slow = rules["TirelessdStoreSlow"]

    assert "[30s]" in behind["expr"]
    assert ", 60\n" in behind["expr"]
    assert ") > 5\n" in behind["expr"]
    assert ") > 0.5\n" in behind["expr"]
    assert behind["for"] == "15s"
    assert slow["expr"].endswith("[5s]\n))) > 0.5")


def test_chosen_text_is_not_scaled() -> None:
    """Whoever names a number means that number."""
    rules = rules_by_alert(Choices(scale=60, texts={"DeadLettersUnattended.seconds": "12"}))

    assert rules["TirelessdDeadLettersUnattended"]["expr"].endswith("> 12")


def test_alert_can_be_switched_off() -> None:
    """It is gone, and nothing else."""
    all_of_them = rules_by_alert(Choices()).keys()

    left = rules_by_alert(Choices(disabled={"VersionSkew"})).keys()

    assert all_of_them - left == {"TirelessdVersionSkew"}


@pytest.mark.parametrize(
    "choices",
    [
        Choices(texts={"QueueStale.minutes": "5"}),
        Choices(texts={"QueueLate.seconds": "5"}),
        Choices(disabled={"QueueLate"}),
    ],
)
def test_choice_that_chooses_nothing_is_an_error(choices: Choices) -> None:
    """A misspelt name would leave an alert as it was."""
    with pytest.raises(ValueError, match=r"QueueLate|QueueStale\.minutes"):
        rendered(choices)


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_rules_can_be_for_one_job_in_one_namespace(rule: dict[str, Any]) -> None:
    """Then every selector picks both, and nothing else about a rule is different."""
    picked = 'namespace="shop",job="tirelessd"'

    scoped = next(each for each in SCOPED if name_of(each) == name_of(rule))

    for selector in selectors(scoped["expr"]):
        matches = {each.label: each.value for each in selector.matches}
        assert (matches["namespace"], matches["job"]) == ("shop", "tirelessd"), selector
    bare = re.sub(rf"{picked},?", "", scoped["expr"]).replace("{}", "")
    assert bare == re.sub(r'job="tirelessd",?', "", rule["expr"]).replace("{}", "")


def test_rules_of_one_name_have_texts_of_their_own() -> None:
    """A severity of one window is chosen by the window, or for all of them at once."""
    texts = {"ErrorBudgetBurn.severity": "info", "ErrorBudgetBurn.severity_6h": "warning"}

    groups = yaml.safe_load(rendered(Choices(texts=texts)))["groups"]

    burns = [
        rule
        for group in groups
        for rule in group["rules"]
        if rule.get("alert") == "TirelessdErrorBudgetBurn"
    ]
    severities = {rule["labels"]["window"]: rule["labels"]["severity"] for rule in burns}
    assert severities == {"1h": "info", "6h": "warning", "1d": "info", "3d": "info"}


def test_windows_have_thresholds_of_their_own() -> None:
    """Rules that share a name share its thresholds, so no threshold's name is used twice."""
    named = [f"{alert.name}.{each.name}" for alert in ALERTS for each in alert.thresholds]

    assert len(named) == len(set(named))


def test_rules_are_made_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """For an installation without a chart: its numbers, switches and addresses."""
    status = main(
        [
            "--set=QueueStale.seconds=600",
            "--set=QueueStale.for=10m",
            "--disable=Absent",
            "--disable=VersionSkew",
            "--job=queue",
            "--runbooks=https://wiki.example/runbooks/",
            "--dashboards=https://grafana.example/d",
        ]
    )
    printed = capsys.readouterr().out

    chosen = Choices(
        texts={"QueueStale.seconds": "600", "QueueStale.for": "10m"},
        disabled={"Absent", "VersionSkew"},
        job="queue",
        runbooks="https://wiki.example/runbooks",
        dashboards="https://grafana.example/d",
    )
    assert status == 0
    assert printed == rendered(chosen)


def test_command_line_says_what_no_alert_has(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name prints no rules."""
    status = main(["--set=QueueStale.minutes=5"])

    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert told.err == "no alert has these: QueueStale.minutes\n"
