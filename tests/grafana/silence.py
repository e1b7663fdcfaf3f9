"""Which alert is quiet while which other one fires, as Alertmanager reads its rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

import yaml

from grafana.source.rules import files

Labels: TypeAlias = Mapping[str, str]

INHIBITIONS: Final = yaml.safe_load(files()["alertmanager/inhibition.yaml"])["inhibit_rules"]
MATCHER: Final = re.compile(r'(?P<label>[a-z_]+) (?P<operator>=|!=|=~|!~) "(?P<value>[^"]*)"')


def matches(matcher: str, labels: Labels) -> bool:
    """Whether an alert has what one matcher asks for, as Alertmanager reads it."""
    parts = MATCHER.fullmatch(matcher)
    assert parts, matcher
    pattern = parts["value"] if "~" in parts["operator"] else re.escape(parts["value"])
    is_alike = re.fullmatch(pattern, labels.get(parts["label"], "")) is not None
    return is_alike != parts["operator"].startswith("!")


def is_silenced(quiet: Labels, firing: Labels) -> bool:
    """Whether one alert is quiet because another one fires."""
    return any(
        all(matches(each, firing) for each in rule["source_matchers"])
        and all(matches(each, quiet) for each in rule["target_matchers"])
        and all(quiet.get(label, "") == firing.get(label, "") for label in rule["equal"])
        for rule in INHIBITIONS
    )
