"""Rules as Prometheus reads them, for one installation's thresholds, switches and addresses."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import Any, Final

import yaml

from grafana.source.rules.alert import Alert, Recording

FLEET: Final = "cluster, namespace, job"
QUEUE: Final = f"{FLEET}, queue"
RANGE: Final = re.compile(r"(\[|offset )(\d+)([smhd])\b")
UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
RULE_TEXTS: Final = ("severity", "for", "keep_firing_for")
OWN_SERIES: Final = re.compile(r"\b((?:\w+:)?tirelessd_\w+(?::\w+)?)(\{)?")
TARGETS: Final = '{job="$job"'

Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Choices:
    """What an installation may choose; the defaults are what is committed.

    `texts` replaces what stands in the rules, by `Alert.threshold`, `Alert.for`,
    `Alert.keep_firing_for` and `Alert.severity`: numbers and durations, or expressions of whatever
    template the rules become part of. They are not scaled. Of rules that share a name, `for_1h` is
    that of the one with the label `1h`, and `for` that of all the others. With `scale` 60 a minute
    becomes a second: in ranges, in what a condition must hold for, and in thresholds that are
    waits.

    Without a `namespace` the rules are for every daemon that Prometheus sees; with one they are for
    that job in that namespace alone, so that installations beside it have rules of their own.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    disabled: Collection[str] = ()
    scale: int = 1
    job: str = "tirelessd"
    namespace: str = ""
    # Relative, because where either lives is known only where they are installed.
    runbooks: str = "docs/runbooks"
    dashboards: str = "/d"


def check(choices: Choices, alerts: Sequence[Alert]) -> None:
    """Raise ValueError for a text or a switch that belongs to no alert."""
    names = {alert.name for alert in alerts}
    known = {f"{name}.{text}" for name in names for text in RULE_TEXTS}
    known |= {f"{each.name}.{text}{each.suffix}" for each in alerts for text in RULE_TEXTS}
    known |= {f"{alert.name}.{each.name}" for alert in alerts for each in alert.thresholds}
    if strange := sorted({*choices.texts} - known) + sorted({*choices.disabled} - names):
        raise ValueError(f"no alert has these: {', '.join(strange)}")


def alert_rule(alert: Alert, choices: Choices) -> Rule:
    """One alert as a rule; what is zero is left out."""
    rule: dict[str, Any] = {
        "alert": alert.full_name,
        "expr": alert_expression(alert, choices),
        "for": rule_text(alert, "for", span(alert.for_seconds, choices), choices),
        "keep_firing_for": rule_text(
            alert, "keep_firing_for", span(alert.keep_seconds, choices), choices
        ),
        "labels": {
            "severity": rule_text(alert, "severity", alert.severity.value, choices),
            "component": alert.component,
            **alert.labels,
        },
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{choices.runbooks}/{alert.full_name}.md",
            "dashboard_url": dashboard_url(alert, choices),
        },
    }
    return {key: value for key, value in rule.items() if value != "0s"}


def alert_expression(alert: Alert, choices: Choices) -> str:
    """An alert's expression, with its thresholds in place."""
    values = {each.name: each.default for each in alert.thresholds}
    waits = {each.name for each in alert.thresholds if each.is_wait}
    scaled = {
        name: number(value / choices.scale if name in waits else value)
        for name, value in values.items()
    }
    chosen = {name: rule_text(alert, name, text, choices) for name, text in scaled.items()}
    return expression(alert.expression, choices, chosen)


def expression(template: str, choices: Choices, thresholds: Mapping[str, str]) -> str:
    """An expression with its labels, ranges and thresholds in place."""
    ranged = RANGE.sub(
        lambda found: f"{found[1]}{duration(int(found[2]) * UNITS[found[3]] // choices.scale)}",
        template,
    )
    return Template(scoped(ranged) if choices.namespace else ranged).substitute(
        thresholds, fleet=FLEET, queue=QUEUE, job=choices.job, namespace=choices.namespace
    )


def scoped(template: str) -> str:
    """An expression in which every selector picks the job and the namespace."""
    picked = OWN_SERIES.sub(
        lambda found: f"{found[1]}{TARGETS}{',' if found[2] else '}'}",
        template,
    )
    return picked.replace(TARGETS, f'{{namespace="$namespace",{TARGETS[1:]}')


def rule_text(alert: Alert, key: str, default: str, choices: Choices) -> str:
    """What was chosen for a part of an alert, or what it says itself."""
    common = choices.texts.get(f"{alert.name}.{key}", default)
    return choices.texts.get(f"{alert.name}.{key}{alert.suffix}", common)


def dashboard_url(alert: Alert, choices: Choices) -> str:
    """The dashboard that shows what happens, at the queue it happens to."""
    queue = "?var-queue={{ $labels.queue }}" if alert.is_of_queue else ""
    return f"{choices.dashboards}/{alert.dashboard}{queue}"


def recording_rule(recording: Recording, choices: Choices) -> Rule:
    """One recorded series as a rule."""
    return {
        "record": recording.record,
        "expr": expression(recording.expression, choices, {}),
        "labels": {"instance": "_all"},
    }


def group(name: str, parts: Sequence[Alert | Recording], choices: Choices) -> Mapping[str, Any]:
    """Recorded series and alerts that belong together; evaluated in their order."""
    return {"name": f"tirelessd-{name}", "rules": list(rules(parts, choices))}


def rules(parts: Sequence[Alert | Recording], choices: Choices) -> Iterator[Rule]:
    """Each of them as a rule, without the alerts that are switched off."""
    for part in parts:
        if isinstance(part, Recording):
            yield recording_rule(part, choices)
        elif part.name not in choices.disabled:
            yield alert_rule(part, choices)


def span(seconds: int, choices: Choices) -> str:
    """A stretch of time at the chosen scale."""
    return duration(seconds * 1000 // choices.scale)


def duration(milliseconds: int) -> str:
    """A duration as Prometheus writes it, in the largest unit that is exact."""
    if not milliseconds:
        return "0s"
    unit = next(unit for unit, size in UNITS.items() if milliseconds % size == 0)
    return f"{milliseconds // UNITS[unit]}{unit}"


def number(value: float) -> str:
    """A number with as many digits as it needs, and no exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


class _Dumper(yaml.SafeDumper):
    """YAML as people write it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002
        """Lists stand indented below their key."""
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def written(document: Any) -> str:
    """A document as YAML, its keys in their order and its texts unbroken."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
