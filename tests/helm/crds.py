"""Objects of operators, as their references describe them, as far as the chart uses them.

A field that does not stand here is an error, as it would be in a cluster. Sources: the API
references of prometheus-operator 0.80 (`monitoring.coreos.com`) and KEDA 2.17 (`keda.sh`).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]
Label = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Duration = Annotated[str, Meta(pattern=r"^(0|([0-9]+(ms|s|m|h|d|w|y))+)$")]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
# KEDA hands every setting of a trigger on as text.
Number = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$")]
Switch = Literal["true", "false"]


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A mapping that has these fields and no others."""


class Metadata(Strict):
    """What an object is called."""

    name: Name
    namespace: Name
    labels: dict[str, Annotated[str, Meta(max_length=63)]]
    annotations: dict[str, str] = {}


# --- monitoring.coreos.com ---------------------------------------------------


class MatchLabels(Strict):
    """What picks objects by their labels."""

    match_labels: dict[str, str]


class Relabeling(Strict):
    """A change of a target's or a sample's labels."""

    action: Literal["replace", "keep", "drop", "labeldrop", "labelkeep", "labelmap", "hashmod"]
    target_label: Label | None = None
    source_labels: list[Label] = []
    regex: str | None = None
    replacement: str | None = None


class Endpoint(Strict):
    """How a monitor's targets are scraped."""

    port: Name
    path: Literal["/metrics"]
    interval: Duration
    scrape_timeout: Duration
    relabelings: list[Relabeling] = []
    metric_relabelings: list[Relabeling] = []


class ServiceMonitorSpec(Strict):
    """Targets behind Services."""

    selector: MatchLabels
    endpoints: Annotated[list[Endpoint], Meta(min_length=1)]


class PodMonitorSpec(Strict):
    """Targets that are pods."""

    selector: MatchLabels
    pod_metrics_endpoints: Annotated[list[Endpoint], Meta(min_length=1)]


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """A recording rule or an alert, in Prometheus' own spelling."""

    expr: Annotated[str, Meta(min_length=1)]
    record: str | None = None
    alert: str | None = None
    for_: Duration | None = msgspec.field(default=None, name="for")
    keep_firing_for: Duration | None = None
    labels: dict[Label, str] = {}
    annotations: dict[Label, str] = {}


class RuleGroup(Strict):
    """Rules that are evaluated together."""

    name: Annotated[str, Meta(min_length=1)]
    rules: Annotated[list[Rule], Meta(min_length=1)]
    interval: Duration | None = None


class PrometheusRuleSpec(Strict):
    """Groups of rules."""

    groups: list[RuleGroup]


class Matcher(Strict):
    """What a label of an alert has to be."""

    name: Label
    value: str
    match_type: Literal["=", "!=", "=~", "!~"]


class InhibitRule(Strict):
    """Which alerts keep quiet while which others fire."""

    source_match: Annotated[list[Matcher], Meta(min_length=1)]
    target_match: Annotated[list[Matcher], Meta(min_length=1)]
    equal: list[Label]


class AlertmanagerConfigSpec(Strict):
    """A part of Alertmanager's configuration; without a route it has no receivers either."""

    inhibit_rules: list[InhibitRule]


# --- keda.sh -----------------------------------------------------------------


class ScaleTarget(Strict):
    """What is scaled."""

    api_version: Literal["apps/v1"]
    kind: Literal["Deployment"]
    name: Name


class Fallback(Strict):
    """How many pods when triggers fail; `behavior` since KEDA 2.17."""

    failure_threshold: Positive
    replicas: Count
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher"]


class Policy(Strict):
    """How fast an HPA may move."""

    type: Literal["Pods", "Percent"]
    value: Positive
    period_seconds: Annotated[int, Meta(ge=1, le=1800)]


class Moves(Strict):
    """How an HPA moves in one direction."""

    stabilization_window_seconds: Annotated[int, Meta(ge=0, le=3600)]
    select_policy: Literal["Max", "Min", "Disabled"]
    policies: Annotated[list[Policy], Meta(min_length=1)]


class Behavior(Strict):
    """How an HPA moves."""

    scale_up: Moves
    scale_down: Moves


class HpaConfig(Strict):
    """What the HPA is told that KEDA makes."""

    behavior: Behavior


class Advanced(Strict):
    """What hardly anybody sets."""

    horizontal_pod_autoscaler_config: HpaConfig


class AuthenticationRef(Strict):
    """Where a trigger's credentials are."""

    name: Name
    kind: Literal["TriggerAuthentication", "ClusterTriggerAuthentication"] | None = None


class Trigger(Strict):
    """A signal; what it is told goes by its type."""

    type: Literal["prometheus", "metrics-api", "postgresql"]
    name: Name
    metric_type: Literal["AverageValue", "Value"]
    metadata: dict[str, str]
    authentication_ref: AuthenticationRef | None = None


class PrometheusTrigger(Strict):
    """What a trigger of that type is told."""

    server_address: str
    query: str
    threshold: Number
    ignore_null_values: Switch


class MetricsApiTrigger(Strict):
    """What a trigger of that type is told; adding up over pods since KEDA 2.16."""

    url: str
    value_location: str
    target_value: Number
    aggregate_from_kube_service_endpoints: Switch
    aggregation_type: Literal["average", "sum", "max", "min"]


class PostgresqlTrigger(Strict):
    """What a trigger of that type is told."""

    query: str
    target_query_value: Number


class ScaledObjectSpec(Strict):
    """What is scaled, by what, and how fast."""

    scale_target_ref: ScaleTarget
    min_replica_count: Count
    max_replica_count: Positive
    polling_interval: Positive
    cooldown_period: Count
    fallback: Fallback
    advanced: Advanced
    triggers: Annotated[list[Trigger], Meta(min_length=1)]


class SecretTarget(Strict):
    """A parameter of a trigger that is in a Secret."""

    parameter: str
    name: Name
    key: str


class TriggerAuthenticationSpec(Strict):
    """Credentials of triggers."""

    secret_target_ref: list[SecretTarget]


SPECS: Final[dict[tuple[str, str], type[Strict]]] = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): ServiceMonitorSpec,
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitorSpec,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRuleSpec,
    ("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig"): AlertmanagerConfigSpec,
    ("keda.sh/v1alpha1", "ScaledObject"): ScaledObjectSpec,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): TriggerAuthenticationSpec,
}
TRIGGERS: Final[dict[str, type[Strict]]] = {
    "prometheus": PrometheusTrigger,
    "metrics-api": MetricsApiTrigger,
    "postgresql": PostgresqlTrigger,
}
KINDS: Final = frozenset(kind for _, kind in SPECS)


def check(manifest: dict[str, Any]) -> Strict:
    """The specification of an operator's object; msgspec.ValidationError names a wrong field."""
    assert manifest.keys() == {"apiVersion", "kind", "metadata", "spec"}
    msgspec.convert(manifest["metadata"], Metadata)
    spec = msgspec.convert(manifest["spec"], SPECS[manifest["apiVersion"], manifest["kind"]])
    if isinstance(spec, ScaledObjectSpec):
        for trigger in spec.triggers:
            msgspec.convert(trigger.metadata, TRIGGERS[trigger.type])
    return spec
