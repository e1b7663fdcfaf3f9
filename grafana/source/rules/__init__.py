"""Recording rules and alerts, and which alert silences which.

Each alert is data in the module of what it is about; `rendered()` makes of them what Prometheus
reads, with any threshold replaced and any alert switched off.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana.source.rules import (
    capacity,
    delivery,
    recording,
    store,
    symptoms,
    telemetry,
    workers,
)
from grafana.source.rules.alert import Alert, Recording
from grafana.source.rules.inhibition import INHIBITIONS
from grafana.source.rules.render import Choices, check, group, written

GROUPS: Final[Mapping[str, Sequence[Alert | Recording]]] = {
    "queues": recording.QUEUES,
    "slo": recording.SLO,
    "symptoms": symptoms.ALERTS,
    "capacity": capacity.ALERTS,
    "delivery": delivery.ALERTS,
    "workers": workers.ALERTS,
    "store": store.ALERTS,
    "telemetry": telemetry.ALERTS,
}
ALERTS: Final = [part for parts in GROUPS.values() for part in parts if isinstance(part, Alert)]
MADE: Final = "# Made by `make grafana` from grafana/source/rules; a test fails when it is stale.\n"


def rule_groups(choices: Choices) -> Sequence[Mapping[str, Any]]:
    """The groups of rules; ValueError for a choice that belongs to no alert."""
    check(choices, ALERTS)
    return [group(name, parts, choices) for name, parts in GROUPS.items()]


def rendered(choices: Choices) -> str:
    """The file of rules that Prometheus reads."""
    return MADE + written({"groups": rule_groups(choices)})


def files() -> Mapping[str, str]:
    """Each file of rules as YAML, by its path below `grafana/`."""
    inhibitions = [each.as_rule() for each in INHIBITIONS]
    return {
        "rules/tirelessd.rules.yaml": rendered(Choices()),
        "alertmanager/inhibition.yaml": MADE + written({"inhibit_rules": inhibitions}),
    }
