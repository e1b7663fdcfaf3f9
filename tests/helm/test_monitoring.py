"""What the chart has a cluster's Prometheus, Alertmanager and Grafana do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import helm_python
import pytest
import yaml

from grafana.source import chart
from grafana.source.rules import ALERTS, rule_groups
from grafana.source.rules.inhibition import INHIBITIONS
from grafana.source.rules.render import Choices
from tests.grafana.test_rules import promtool
from tests.helm import crds
from tests.helm.chart import NAMESPACE, RELEASE, Manifest, Values, of_kind, render, the
from tests.helm.values import PLAIN, SETS

GRAFANA: Final = Path(__file__).parents[2] / "grafana"
JOB: Final = f"{RELEASE}-tirelessd"
NAMES: Final = {alert.name for alert in ALERTS}
ALL_OFF: Final = {name: {"enabled": False} for name in NAMES}


def monitored(**parts: Any) -> Values:
    """A plain release with these parts of `monitoring` switched on."""
    return {
        **PLAIN,
        "monitoring": {name: {"enabled": True, **part} for name, part in parts.items()},
    }


def rules_of(**chosen: Any) -> list[dict[str, Any]]:
    """The groups of rules that an installation has."""
    groups: list[dict[str, Any]] = the(render(monitored(prometheusRule=chosen)), "PrometheusRule")[
        "spec"
    ]["groups"]
    return groups


def expected(**choices: Any) -> list[dict[str, Any]]:
    """The groups of rules that the source makes for this release."""
    made = [dict(group) for group in rule_groups(Choices(job=JOB, namespace=NAMESPACE, **choices))]
    return [group for group in made if group["rules"]]


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_every_object_of_an_operator_has_its_shape(values: Values) -> None:
    """By a model of what their references say, where an unknown field is an error."""
    objects = [each for each in render(values) if each["kind"] in crds.KINDS]

    checked = [crds.check(each) for each in objects]

    assert bool(checked) == bool({"monitoring", "autoscaling"} & values.keys())


def test_every_kind_of_an_operator_is_looked_at() -> None:
    """The sets of values have all that the chart can make."""
    kinds = {each["kind"] for values in SETS.values() for each in render(values)}

    assert kinds >= crds.KINDS


def test_nothing_is_there_that_was_not_asked_for() -> None:
    """A cluster without these operators has no such kinds, and would refuse the whole release."""
    kinds = {each["kind"] for each in render(PLAIN)}

    assert not kinds & crds.KINDS
    assert len(of_kind(render(PLAIN), "ConfigMap")) == 1


# --- rules -------------------------------------------------------------------


def test_rules_are_those_of_the_source() -> None:
    """To the letter, thresholds and texts included, for the series of this release alone."""
    assert rules_of() == expected()


def test_what_is_chosen_gets_into_the_rules() -> None:
    """A number, a duration, a severity, of one window too, and where people are sent."""
    chosen = {
        "QueueStale": {"seconds": 1_000_000, "for": "7m", "keep_firing_for": "0s"},
        "DeadLettersNew": {"dead": 0.25, "for": "90s"},
        "ErrorBudgetBurn": {"factor_6h": 7.5, "severity_3d": "info", "for_1h": "0s"},
        "VersionSkew": {"enabled": False},
    }

    rules = rules_of(
        alerts=chosen, runbooks="https://wiki.example/r/", dashboards="https://grafana.example/d/"
    )

    texts = {
        "QueueStale.seconds": "1000000",
        "QueueStale.for": "7m",
        "QueueStale.keep_firing_for": "0s",
        "DeadLettersNew.dead": "0.25",
        "DeadLettersNew.for": "90s",
        "ErrorBudgetBurn.factor_6h": "7.5",
        "ErrorBudgetBurn.severity_3d": "info",
        "ErrorBudgetBurn.for_1h": "0s",
    }
    assert rules == expected(
        texts=texts,
        disabled={"VersionSkew"},
        runbooks="https://wiki.example/r",
        dashboards="https://grafana.example/d",
    )


def test_alerts_can_be_given_labels() -> None:
    """By which Alertmanager finds the team; recorded series have none of them, nor lose theirs."""
    rules = [
        rule
        for group in rules_of(alertLabels={"team": "shop", "severity": "none"}, interval="1m")
        for rule in group["rules"]
    ]

    assert {rule["labels"].get("team") for rule in rules if "alert" in rule} == {"shop"}
    assert {rule["labels"].get("team") for rule in rules if "record" in rule} == {None}
    assert "none" not in {rule["labels"].get("severity") for rule in rules}


def test_prometheus_takes_every_rendering_of_the_rules(tmp_path: Path) -> None:
    """As they come, with other numbers, with labels more, with no alert left; in every set."""
    variants: dict[str, dict[str, Any]] = {
        "default": {},
        "other": {
            "alerts": {
                name: {each.name: 7 for alert in family for each in alert.thresholds}
                for name, family in chart.families().items()
            }
        },
        "labelled": {"alertLabels": {"team": "shop"}, "interval": "1m"},
        "silent": {"alerts": ALL_OFF},
    }
    for name, chosen in variants.items():
        text = yaml.safe_dump({"groups": rules_of(**chosen)})
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    for name, values in SETS.items():
        for rule in of_kind(render(values), "PrometheusRule"):
            text = yaml.safe_dump(rule["spec"])
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")

    checked = promtool(
        "check", "rules", "--lint=all", "--lint-fatal", *map(str, tmp_path.glob("*.yaml"))
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"alerts": {"QueueLate": {"enabled": False}}}, "QueueLate"),
        ({"alerts": {"QueueStale": {"minutes": 5}}}, "minutes"),
        ({"alerts": {"QueueStale": None}}, "QueueStale"),
        ({"alerts": {"QueueStale": {"seconds": None}}}, "seconds"),
        ({"alerts": {"QueueStale": {"seconds": "5m"}}}, "/alerts/QueueStale/seconds"),
        ({"alerts": {"QueueStale": {"for": "soon"}}}, "/alerts/QueueStale/for"),
        ({"alerts": {"QueueStale": {"severity": "page"}}}, "/alerts/QueueStale/severity"),
        ({"interval": "often"}, "/prometheusRule/interval"),
        ({"runbooks": "no address"}, "/prometheusRule/runbooks"),
    ],
)
def test_a_choice_that_chooses_nothing_is_refused(rules: Any, message: str) -> None:
    """A misspelt alert would go on as it was, and one that is taken away would leave a hole."""
    with pytest.raises(helm_python.HelmError, match=re.escape(message)):
        rules_of(**rules)


# --- inhibition --------------------------------------------------------------


def inhibitions(alerts: dict[str, Any]) -> list[dict[str, Any]]:
    """The inhibitions of an installation with these choices."""
    values = monitored(alertmanagerConfig={}, prometheusRule={"alerts": alerts})
    found: list[dict[str, Any]] = the(render(values), "AlertmanagerConfig")["spec"]["inhibitRules"]
    return found


def as_rule(inhibition: dict[str, Any]) -> dict[str, Any]:
    """An inhibition as Alertmanager's own file has it."""
    sides = {
        f"{side}_matchers": [
            f'{each["name"]} {each["matchType"]} "{each["value"]}"'
            for each in inhibition[f"{side}Match"]
        ]
        for side in ("source", "target")
    }
    return {**sides, "equal": inhibition["equal"]}


def test_inhibitions_are_those_of_the_source() -> None:
    """Each of them, in the operator's spelling."""
    rules = [as_rule(each) for each in inhibitions({})]

    assert rules == [each.as_rule() for each in INHIBITIONS]


def test_an_alert_that_is_off_silences_nothing() -> None:
    """Nor is it silenced; where it was one of two, the other one stands alone."""
    rules = inhibitions({"QueueStale": {"enabled": False}, "TargetDown": {"enabled": False}})

    assert "TargetDown" not in str([each["sourceMatch"] for each in rules])
    assert len(rules) == len(INHIBITIONS) - 1
    (stalled,) = [each for each in rules if "QueueStalled" in str(each["sourceMatch"])]
    assert stalled["targetMatch"] == [
        {"name": "alertname", "matchType": "=", "value": "TirelessdSlotsSaturated"}
    ]


def test_an_alert_that_is_off_needs_no_silence() -> None:
    """An inhibition without anything to silence is gone."""
    rules = inhibitions({"RetryStorm": {"enabled": False}})

    assert "UpstreamDown" not in str(rules)
    assert len(rules) == len(INHIBITIONS) - 1


# --- dashboards --------------------------------------------------------------


def pages(manifests: list[Manifest]) -> list[Manifest]:
    """The ConfigMaps that a sidecar of Grafana would take."""
    return [
        each
        for each in of_kind(manifests, "ConfigMap")
        if each["metadata"]["labels"].get("grafana_dashboard") == "1"
    ]


def test_dashboards_are_those_of_the_source() -> None:
    """Each page as it stands in grafana/dashboards, in a ConfigMap that a cluster takes."""
    found = pages(render(monitored(dashboards={})))

    files = {name: text for page in found for name, text in page["data"].items()}
    committed = {
        file.name: file.read_text(encoding="utf-8").rstrip("\n")
        for file in (GRAFANA / "dashboards").glob("*.json")
    }
    assert {name: text.rstrip("\n") for name, text in files.items()} == committed
    assert all(page["metadata"]["annotations"] == {"grafana_folder": "tirelessd"} for page in found)
    assert max(len(text) for text in files.values()) < 2**20
    assert len({page["metadata"]["name"] for page in found}) == 5


def test_dashboards_go_where_the_sidecar_looks() -> None:
    """It may look in its own namespace only."""
    found = pages(render(monitored(dashboards={"namespace": "grafana"})))

    assert {page["metadata"]["namespace"] for page in found} == {"grafana"}


# --- scrapes -----------------------------------------------------------------


@pytest.mark.parametrize("shape", ["plain", "split"])
def test_the_monitor_finds_the_service_of_metrics(shape: str) -> None:
    """That one and no other, with a port that both have, whatever the shape."""
    values = {**SETS[shape], **monitored(serviceMonitor={})}

    spec = the(render(values), "ServiceMonitor")["spec"]
    services = [
        each
        for each in of_kind(render(values), "Service")
        if spec["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
    ]

    (service,) = services
    (endpoint,) = spec["endpoints"]
    assert service["metadata"]["name"] == f"{JOB}-ops"
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize("shape", ["plain", "split"])
def test_the_other_monitor_finds_every_pod(shape: str) -> None:
    """Those that accept and those that attempt, but not the pod of `helm test`."""
    manifests = render({**SETS[shape], **monitored(podMonitor={})})

    spec = the(manifests, "PodMonitor")["spec"]
    wanted = spec["selector"]["matchLabels"].items()
    templates = [
        each["spec"]["template"] for each in of_kind(manifests, "StatefulSet", "Deployment")
    ]
    assert all(wanted <= each["metadata"]["labels"].items() for each in templates)
    assert not wanted <= the(manifests, "Pod")["metadata"]["labels"].items()
    (endpoint,) = spec["podMetricsEndpoints"]
    for template in templates:
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert endpoint["port"] in ports


@pytest.mark.parametrize("job", ["", "orders"])
def test_rules_look_for_the_job_that_monitors_name(job: str) -> None:
    """Or no alert would ever fire; the instance is the pod, which keeps its name when replaced."""
    parts = monitored(serviceMonitor={}, prometheusRule={})["monitoring"]
    manifests = render({**PLAIN, "monitoring": {**parts, "job": job}})

    (endpoint,) = the(manifests, "ServiceMonitor")["spec"]["endpoints"]
    named = {each["targetLabel"]: each for each in endpoint["relabelings"]}
    rules = str(the(manifests, "PrometheusRule")["spec"])
    assert named["job"]["replacement"] == (job or JOB)
    assert named["instance"]["sourceLabels"] == ["__meta_kubernetes_pod_name"]
    assert set(re.findall(r'job="([^"]*)"', rules)) == {job or JOB}
    assert set(re.findall(r'namespace="([^"]*)"', rules)) == {NAMESPACE}


def test_no_pod_is_scraped_twice() -> None:
    """Two monitors would make two of every series."""
    with pytest.raises(helm_python.HelmError, match=r"monitoring\.podMonitor\.enabled: with"):
        render(monitored(serviceMonitor={}, podMonitor={}))
