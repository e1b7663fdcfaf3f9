"""Which alert is quiet while another one fires, by the rules that Alertmanager is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from grafana.source.rules import ALERTS
from tests.grafana.silence import INHIBITIONS, MATCHER, Labels, is_silenced

NAMES = {alert.full_name for alert in ALERTS}
VALUES = {
    "alertname": NAMES,
    "severity": {alert.severity.value for alert in ALERTS},
    "window": {alert.labels["window"] for alert in ALERTS if alert.labels},
}
# Of an alert of the scrape itself, and of one that is about a queue.
LABELS = {"namespace": "shop", "job": "tirelessd"}


def labels_of(name: str, **more: str) -> Labels:
    """The labels with which an alert arrives."""
    alert = next(each for each in ALERTS if each.name == name)
    own = {
        "alertname": alert.full_name,
        "severity": alert.severity.value,
        "component": alert.component,
    }
    return {**LABELS, **own, **more}


@pytest.mark.parametrize("rule", INHIBITIONS, ids=lambda rule: rule["source_matchers"][0])
def test_rule_is_one_of_alertmanager(rule: Mapping[str, Any]) -> None:
    """It has matchers of both sides, each about a label and values that there are."""
    matchers = [
        MATCHER.fullmatch(each) for each in rule["source_matchers"] + rule["target_matchers"]
    ]
    unmet = [
        found[0]
        for found in matchers
        if found
        and not any(re.fullmatch(found["value"], value) for value in VALUES[found["label"]])
    ]

    assert set(rule) == {"source_matchers", "target_matchers", "equal"}
    assert all(matchers)
    assert unmet == []


@pytest.mark.parametrize(
    ("firing", "quiet", "is_quiet"),
    [
        (labels_of("StoreDown"), labels_of("QueueStale", queue="a"), True),
        (labels_of("StoreDown"), labels_of("StoreErrors"), True),
        (labels_of("StoreDown"), labels_of("IntakeErrorBudgetBurn"), False),
        (labels_of("StoreDown"), labels_of("TargetDown"), False),
        (labels_of("TargetDown"), labels_of("SlotsSaturated", queue="a"), True),
        (labels_of("TargetDown"), labels_of("NoSlots", queue="a"), False),
        (labels_of("TargetDown"), {**labels_of("SlotsSaturated"), "namespace": "other"}, False),
        (labels_of("Absent", namespace=""), labels_of("CanaryFailing"), True),
        (labels_of("QueueStalled", queue="a"), labels_of("QueueStale", queue="a"), True),
        (labels_of("QueueStalled", queue="a"), labels_of("QueueStale", queue="b"), False),
        (labels_of("QueueStale", queue="a"), labels_of("QueueStalled", queue="a"), False),
        (labels_of("QueueStalled", queue="a"), labels_of("SlotsSaturated", queue="a"), True),
        (labels_of("UpstreamDown", destination="x"), labels_of("RetryStorm", queue="a"), True),
        (labels_of("QueueStale", queue="a"), labels_of("BacklogWillBreach", queue="a"), True),
        (labels_of("QueueStale", queue="a"), labels_of("BacklogWillBreach", queue="b"), False),
        (labels_of("GiveUpBudgetBurn", queue="a"), labels_of("DeadLettersNew", queue="a"), True),
        (labels_of("DeadLettersNew", queue="a"), labels_of("GiveUpBudgetBurn", queue="a"), False),
        (
            labels_of("ErrorBudgetBurn", queue="a", slo="wait", window="1h"),
            labels_of("ErrorBudgetBurn", queue="a", slo="wait", window="6h"),
            True,
        ),
        (
            labels_of("ErrorBudgetBurn", queue="a", slo="wait", window="6h"),
            labels_of("ErrorBudgetBurn", queue="a", slo="wait", window="1h"),
            False,
        ),
        (
            labels_of("ErrorBudgetBurn", queue="a", slo="wait", window="1h"),
            labels_of("ErrorBudgetBurn", queue="a", slo="success", window="6h"),
            False,
        ),
    ],
    ids=lambda value: value["alertname"] if isinstance(value, dict) else str(value),
)
def test_one_alert_speaks_for_another(firing: Labels, quiet: Labels, *, is_quiet: bool) -> None:
    """The cause speaks for its consequences, in the same installation and queue, never back."""
    assert is_silenced(quiet, firing) == is_quiet


def test_no_alert_silences_itself() -> None:
    """Or nobody would hear of it."""
    alerts = [labels_of(alert.name, **alert.labels) for alert in ALERTS]

    assert [each["alertname"] for each in alerts if is_silenced(each, each)] == []
