"""What of the Helm chart is made of the dashboards and rules here.

The chart carries the dashboards as they are. Of rules and inhibitions it carries a copy in which
`${name}` stands for whatever an installation may choose; its templates put the values there. What
may be chosen, and the numbers that stand in `grafana/rules`, are written into the chart's values
and their schema. So there is one source, and none of it is written twice by hand.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

import msgspec

from grafana.source import dashboards
from grafana.source.rules import ALERTS, MADE, rule_groups
from grafana.source.rules.alert import Alert, Severity
from grafana.source.rules.inhibition import INHIBITIONS, Inhibition, Matcher
from grafana.source.rules.render import Choices, number, span, written

CHART: Final = "helm/tirelessd"
BEGIN: Final = "# Alerts: written by `make grafana` from here on."
END: Final = "# Alerts: written by `make grafana` up to here."
SCHEMA_PATH: Final = ("monitoring", "prometheusRule", "alerts")
WIDTH: Final = 100
DURATION: Final = "^([0-9]+(ms|s|m|h|d|w))+$"

# Alerts of one name, which are chosen together.
Family = Sequence[Alert]


def families() -> Mapping[str, Family]:
    """The alerts by their names, in their order."""
    return {name: list(alerts) for name, alerts in groupby(ALERTS, lambda each: each.name)}


def made() -> Mapping[str, str]:
    """Every file that is generated as a whole, by its path below the project's root."""
    pages = {Path(path).name: text for path, text in dashboards.files().items()}
    inhibitions = [chosen_inhibition(each) for each in INHIBITIONS]
    return {
        **{f"{CHART}/files/dashboards/{name}": text for name, text in pages.items()},
        f"{CHART}/files/rules.yaml": MADE + written({"groups": rule_groups(open_choices())}),
        f"{CHART}/files/inhibition.yaml": MADE + written({"inhibitions": inhibitions}),
    }


def renewed() -> Mapping[str, Callable[[str], str]]:
    """What makes a file true again of which only a part is generated, by its path."""
    return {
        f"{CHART}/values.yaml": renewed_values,
        f"{CHART}/values.schema.json": renewed_schema,
    }


def open_choices() -> Choices:
    """Everything that may be chosen, as `${name}`; an alert's own names are unique within it."""
    names = [f"{alert.name}.{name}" for alert in ALERTS for name in chosen_defaults(alert)]
    return Choices(
        texts={name: f"${{{name.partition('.')[2]}}}" for name in names},
        job="${job}",
        namespace="${namespace}",
        runbooks="${runbooks}",
        dashboards="${dashboards}",
    )


def chosen_defaults(alert: Alert) -> Mapping[str, str | float]:
    """What may be chosen of one alert, with what it is by default."""
    usual = Choices()
    return {
        f"severity{alert.suffix}": alert.severity.value,
        f"for{alert.suffix}": span(alert.for_seconds, usual),
        f"keep_firing_for{alert.suffix}": span(alert.keep_seconds, usual),
        **{each.name: each.default for each in alert.thresholds},
    }


def chosen_inhibition(inhibition: Inhibition) -> Mapping[str, Any]:
    """An inhibition from which the alerts that are switched off can still be taken."""
    return {
        "sources": list(inhibition.sources),
        "sourceMatch": [as_crd(each) for each in inhibition.source_matchers],
        "targets": list(inhibition.targets),
        "targetMatch": [as_crd(each) for each in inhibition.target_matchers],
        "equal": list(inhibition.equal),
    }


def as_crd(matcher: Matcher) -> Mapping[str, str]:
    """A matcher as an AlertmanagerConfig has it."""
    return {"name": matcher.label, "matchType": matcher.operator, "value": matcher.value}


def renewed_values(text: str) -> str:
    """The chart's values with the alerts of now; ValueError where their place is not marked."""
    flags = re.DOTALL | re.MULTILINE
    place = re.compile(rf"^( *){re.escape(BEGIN)}\n.*?^\1{re.escape(END)}\n", flags)
    found = place.search(text)
    if found is None:
        raise ValueError(f"no lines `{BEGIN}` and `{END}` in the chart's values")
    lines = [BEGIN, "alerts:"]
    for family in families().values():
        lines += [f"  {line}" for line in value_lines(family)]
    block = "".join(f"{found[1]}{line}\n" for line in [*lines, END])
    return text[: found.start()] + block + text[found.end() :]


def value_lines(family: Family) -> Sequence[str]:
    """What may be chosen of alerts of one name, under a comment that says what it means."""
    numbers: dict[str, list[str]] = {}
    for each in (threshold for alert in family for threshold in alert.thresholds):
        numbers.setdefault(each.meaning, []).append(each.name)
    told = [f"{', '.join(names)}: {said}" for said, names in numbers.items()]
    comment = f"{meaning(family[0].summary)}. {'; '.join(told)}{'.' if told else ''}"
    defaults = [f"{name}: {in_yaml(value)}" for name, value in family_defaults(family).items()]
    one_line = f"{family[0].name}: {{{', '.join(defaults)}}}"
    return [
        *(f"# {line}" for line in wrap(comment, WIDTH - 8, break_on_hyphens=False)),
        *(
            [one_line]
            if len(one_line) <= WIDTH - 6
            else [f"{family[0].name}:", *(f"  {each}" for each in defaults)]
        ),
    ]


def family_defaults(family: Family) -> Mapping[str, str | float | bool]:
    """What may be chosen of alerts of one name."""
    texts: dict[str, str | float | bool] = {"enabled": True}
    for alert in family:
        texts |= chosen_defaults(alert)
    return texts


def in_yaml(value: str | float | bool) -> str:  # noqa: FBT001
    """A value as it stands in the chart's values."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else number(value)


def meaning(template: str) -> str:
    """What an annotation says, with the names of its labels in place of their values."""
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"<\1>", template)


def renewed_schema(text: str) -> str:
    """The schema of the chart's values with the alerts of now."""
    schema = msgspec.json.decode(text)
    node = schema
    for name in SCHEMA_PATH:
        node = node["properties"].setdefault(name, {})
    node |= {
        "description": "What may be chosen of each alert; names are those of grafana/rules.",
        "type": "object",
        "additionalProperties": False,
        "required": list(families()),
        "properties": {name: family_schema(family) for name, family in families().items()},
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def family_schema(family: Family) -> Mapping[str, Any]:
    """What the values of alerts of one name have to be; none may be left out, as with `null`."""
    properties: dict[str, Any] = {
        "enabled": {"type": "boolean", "description": "Whether there is such an alert."}
    }
    for alert in family:
        properties |= alert_schema(alert)
    return {
        "description": f"{meaning(family[0].summary)}.",
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def alert_schema(alert: Alert) -> Mapping[str, Any]:
    """The values that are one rule's own."""
    which = f" Of the window {alert.suffix[1:]}." if alert.suffix else ""
    return {
        f"severity{alert.suffix}": {
            "enum": [each.value for each in Severity],
            "description": f"Who hears of it.{which}",
        },
        f"for{alert.suffix}": {
            "type": "string",
            "pattern": DURATION,
            "description": f"How long the condition must hold.{which}",
        },
        f"keep_firing_for{alert.suffix}": {
            "type": "string",
            "pattern": DURATION,
            "description": f"How long it goes on firing after the condition ended.{which}",
        },
        **{
            each.name: {"type": "number", "minimum": 0, "description": f"{each.meaning}."}
            for each in alert.thresholds
        },
    }
