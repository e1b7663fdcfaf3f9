"""How the chart has pods scaled: by which signals, how fast, and where it will not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import helm_python
import pytest
import yaml

from tests.grafana.names import known_names, problems
from tests.grafana.test_rules import promtool
from tests.helm.chart import NAMESPACE, RELEASE, Values, of_kind, render, the, workloads
from tests.helm.values import DATABASE, PLAIN

JOB: Final = f"{RELEASE}-tirelessd"
PAGE: Final = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text(encoding="utf-8")
RULES: Final = {"prometheusRule": {"enabled": True}}
SHARED: Final[Values] = {**PLAIN, "store": DATABASE, "monitoring": RULES}
SPLIT: Final[Values] = {**SHARED, "split": {"enabled": True}}
KEDA: Final[Values] = {**SHARED, "autoscaling": {"kind": "keda"}}
HPA: Final[Values] = {**SHARED, "autoscaling": {"kind": "hpa"}}
SCALEZ: Final[Values] = {**SHARED, "autoscaling": {"kind": "keda", "keda": {"signals": "scalez"}}}
TO_ZERO: Final[Values] = {**SPLIT, "autoscaling": {"kind": "keda", "minReplicas": 0}}
BY_URL: Final = {"postgresql": {"url": "postgresql://tirelessd@db/tirelessd"}}


def triggers(values: Values) -> dict[str, dict[str, Any]]:
    """The triggers of a ScaledObject by their names."""
    spec = the(render(values), "ScaledObject")["spec"]
    return {each["name"]: each for each in spec["triggers"]}


REFUSED: list[tuple[Values, str]] = [
    ({**PLAIN, "autoscaling": {"kind": "keda"}}, 'autoscaling.kind: "keda" needs a store'),
    ({**PLAIN, "autoscaling": {"kind": "hpa"}}, 'autoscaling.kind: "hpa" needs a store'),
    ({**SHARED, "autoscaling": {"kind": "vpa"}}, "'/autoscaling/kind'"),
    (
        {**SHARED, "autoscaling": {"kind": "keda", "minReplicas": 11}},
        "autoscaling.minReplicas: 11 is more than autoscaling.maxReplicas, 10",
    ),
    (
        {**SHARED, "monitoring": {}, "autoscaling": {"kind": "keda"}},
        "monitoring.prometheusRule.enabled: scaling goes by series",
    ),
    (
        {**SPLIT, "autoscaling": {"kind": "hpa", "minReplicas": 0}},
        "autoscaling.minReplicas: 0 takes autoscaling.kind keda",
    ),
    (
        {
            **SPLIT,
            "autoscaling": {"kind": "keda", "minReplicas": 0, "keda": {"signals": "scalez"}},
        },
        "autoscaling.minReplicas: 0 takes autoscaling.kind keda",
    ),
    (
        {**SHARED, "autoscaling": {"kind": "keda", "minReplicas": 0}},
        "autoscaling.minReplicas: 0 would leave nobody to accept",
    ),
    ({**TO_ZERO, "store": BY_URL}, "autoscaling.minReplicas: 0 has KEDA look into the database"),
    (
        {**SHARED, "autoscaling": {"kind": "keda", "targetUtilisation": 70}},
        "'/autoscaling/targetUtilisation'",
    ),
    (
        {**SHARED, "autoscaling": {"kind": "keda", "targetBacklogSeconds": 0}},
        "'/autoscaling/targetBacklogSeconds'",
    ),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[each[1] for each in REFUSED])
def test_what_cannot_be_scaled_is_refused_by_name(values: Values, message: str) -> None:
    """Above all an embedded store: its items cannot follow the pods."""
    with pytest.raises(helm_python.HelmError) as refused:
        render(values)

    assert message in str(refused.value)


def test_rules_may_be_installed_elsewhere() -> None:
    """By whoever looks after Prometheus; the chart takes their word for it."""
    scaling = {"kind": "keda", "hasRulesElsewhere": True}

    assert the(render({**SHARED, "monitoring": {}, "autoscaling": scaling}), "ScaledObject")


@pytest.mark.parametrize("values", [KEDA, HPA, SCALEZ])
def test_pods_that_are_scaled_have_no_number_of_their_own(values: Values) -> None:
    """An upgrade would put it back in the midst of the load."""
    (workload,) = workloads(render(values))

    assert "replicas" not in workload["spec"]


@pytest.mark.parametrize("values", [KEDA, TO_ZERO, HPA, {**HPA, "split": {"enabled": True}}])
def test_only_pods_that_attempt_are_scaled(values: Values) -> None:
    """Those that only accept are as many as the values say."""
    manifests = render(values)
    (scaler,) = of_kind(manifests, "ScaledObject", "HorizontalPodAutoscaler")

    target = scaler["spec"]["scaleTargetRef"]["name"]
    scaled = {
        each["metadata"]["name"]: "replicas" not in each["spec"] for each in workloads(manifests)
    }
    assert [name for name, is_scaled in scaled.items() if is_scaled] == [target]
    assert not target.endswith("-intake")


@pytest.mark.parametrize("values", [KEDA, HPA, SCALEZ])
def test_pods_come_at_once_and_go_one_a_minute(values: Values) -> None:
    """After five minutes in which nobody wanted them: what oscillates is never the number."""
    (scaler,) = of_kind(render(values), "ScaledObject", "HorizontalPodAutoscaler")
    spec = scaler["spec"]

    advanced = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", spec)
    up, down = advanced["behavior"]["scaleUp"], advanced["behavior"]["scaleDown"]
    assert up["stabilizationWindowSeconds"] == 0
    assert down == {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    }


def test_who_cannot_see_does_not_move() -> None:
    """A Prometheus that is gone, or that knows nothing, leaves the pods as many as they are."""
    spec = the(render(KEDA), "ScaledObject")["spec"]

    assert spec["fallback"]["behavior"] == "currentReplicas"
    for trigger in spec["triggers"]:
        assert trigger["metadata"]["ignoreNullValues"] == "false"
        # For others KEDA has no fallback.
        assert trigger["metricType"] == "AverageValue"


@pytest.mark.parametrize("values", [KEDA, TO_ZERO])
def test_signals_ask_for_what_there_is(values: Values) -> None:
    """Each query is one that Prometheus parses, about series that exist, of this release alone."""
    queries = [
        each["metadata"]["query"]
        for each in triggers(values).values()
        if each["type"] == "prometheus"
    ]

    assert [problems(query, known_names()) for query in queries] == [[], []]
    picked = f'{{namespace="{NAMESPACE}",job="{JOB}"}}'
    assert all(query.count("{") == query.count(picked) for query in queries)


def test_signals_are_utilisation_and_backlog() -> None:
    """In pods' worth, so that what is wished for is in proportion to what is there."""
    found = triggers(KEDA)

    assert {name: each["metadata"]["threshold"] for name, each in found.items()} == {
        "utilisation": "0.7",
        "backlog": "30",
    }
    metrics = the(render(HPA), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert {
        each["external"]["metric"]["name"]: each["external"]["target"]["averageValue"]
        for each in metrics
    } == {"tirelessd_slots_busy_pods": "700m", "tirelessd_backlog_seconds": "30000m"}


def test_the_adapter_of_the_page_serves_what_an_hpa_asks_for() -> None:
    """Its rules find the recorded series, and give them the names in the values."""
    text = re.findall(r"```yaml\n# values\.yaml of prometheus-adapter\n(.*?)```", PAGE, re.DOTALL)
    (rule,) = yaml.safe_load(text[0])["rules"]["external"]
    metrics = the(render(HPA), "HorizontalPodAutoscaler")["spec"]["metrics"]

    found = re.findall(r'=~"(.*)"', rule["seriesQuery"])[0]
    recorded = [name for name in known_names() if re.fullmatch(found, name)]
    served = {
        re.sub(rule["name"]["matches"], rule["name"]["as"].replace("$", "\\"), name)
        for name in recorded
    }
    assert served == {each["external"]["metric"]["name"] for each in metrics}


def test_without_prometheus_the_pods_are_asked() -> None:
    """Their own slots add up; of the shared store each one tells the same."""
    found = triggers(SCALEZ)

    assert {
        name: (each["metadata"]["valueLocation"], each["metadata"]["aggregationType"])
        for name, each in found.items()
    } == {"utilisation": ("utilisation", "sum"), "backlog": ("backlog_seconds", "max")}
    (service,) = [
        each
        for each in of_kind(render(SCALEZ), "Service")
        if each["metadata"]["name"] == f"{JOB}-ops"
    ]
    (port,) = service["spec"]["ports"]
    url = f"http://{JOB}-ops.{NAMESPACE}.svc:{port['port']}/scalez"
    assert {each["metadata"]["url"] for each in found.values()} == {url}


def test_from_none_to_one_the_database_tells() -> None:
    """Pods that are not there have no metrics; the URL stays in its Secret."""
    manifests = render(TO_ZERO)
    authentication = the(manifests, "TriggerAuthentication")

    wake = triggers(TO_ZERO)["wake"]
    assert wake["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert authentication["spec"]["secretTargetRef"] == [
        {"parameter": "connection", "name": "shop-database", "key": "url"}
    ]
    assert "wake" not in triggers(KEDA)


# --- what the signals come to ------------------------------------------------

BUSY: Final = "job:tirelessd_slots_busy_pods:max"
OURS: Final = f'namespace="{NAMESPACE}",job="{JOB}"'


def series(name: str, value: str, **labels: str) -> dict[str, str]:
    """A series that stays as it is."""
    more = "".join(f',{label}="{text}"' for label, text in labels.items())
    return {"series": f"{name}{{{OURS}{more}}}", "values": value}


# Five pods of a queue, of which two accept; what each case changes of that.
INTAKE: Final = [
    series("up", "1x9", instance="intake-1"),
    series("tirelessd_slots", "0x9", instance="intake-1", queue="items"),
]
AT_WORK: Final = [
    series("up", "1x9", instance="slots-1"),
    series("tirelessd_slots", "20x9", instance="slots-1", queue="items"),
]
CASES: Final[dict[str, tuple[Values, list[dict[str, str]], list[float]]]] = {
    "pods are at work": (TO_ZERO, [*INTAKE, *AT_WORK, series(BUSY, "3x9")], [3]),
    "all that attempt are gone": (TO_ZERO, INTAKE, [0]),
    "one that attempts is not seen": (
        TO_ZERO,
        [*INTAKE, series("up", "0x9", instance="slots-1")],
        [],
    ),
    "the rules say nothing of pods at work": (TO_ZERO, [*INTAKE, *AT_WORK], []),
    "nothing is seen at all": (TO_ZERO, [], []),
    "there are always pods, and nothing is seen": (KEDA, [], []),
    "another release is at work": (
        KEDA,
        [{"series": f'{BUSY}{{namespace="{NAMESPACE}",job="other"}}', "values": "3x9"}],
        [],
    ),
}


def test_signals_come_to_what_they_say(tmp_path: Path) -> None:
    """Zero where there are no pods, and nothing, which is an error, where nobody can tell."""
    tests = [
        {
            "name": name,
            "interval": "1m",
            "input_series": given,
            "promql_expr_test": [
                {
                    "expr": triggers(values)["utilisation"]["metadata"]["query"],
                    "eval_time": "5m",
                    "exp_samples": [{"labels": "{}", "value": value} for value in wanted],
                }
            ],
        }
        for name, (values, given, wanted) in CASES.items()
    ]
    cases = tmp_path / "cases.yaml"
    cases.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}), encoding="utf-8")

    tried = promtool("test", "rules", str(cases))

    assert tried.returncode == 0, tried.stdout + tried.stderr
