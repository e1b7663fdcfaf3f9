"""Every name a query may use: the registry's, the recorded ones, and a short list of others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import yaml

from grafana.source import rules
from tests.grafana.queries import Match, Selector, grouped_labels, selectors
from tests.observe.events import make_metrics
from tirelessd.observe.reference import OPEN_LABELS, full_name, label_values

# What the scrape adds to every series.
TARGET_LABELS: Final = frozenset({"cluster", "namespace", "job", "instance", "pod"})
# What rules put on the series that they make, and what joins and functions of queries add.
ADDED_LABELS: Final = frozenset({"alertname", "alertstate", "severity", "component", "window"})


@dataclass(frozen=True)
class Known:
    """A name, and its labels with their legal values; None where values are not closed."""

    name: str
    type: str
    labels: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    # Of a name that is not ours, any label may be asked for.
    is_foreign: bool = False


# Names of others that dashboards and rules may use: what Prometheus says about its targets, its
# scrapes and its alerts. What the process says about itself is in the registry.
FOREIGN: Final = ("up", "ALERTS", "scrape_duration_seconds", "scrape_samples_scraped")


def registered() -> Mapping[str, Known]:
    """Every family of the registry, by the names of its samples."""
    found = {}
    for family in make_metrics().registry.collect():
        labels = dict(legal_labels(label_values(family)))
        for name in sample_names(full_name(family), family.type):
            found[name] = Known(
                name,
                family.type,
                {**labels, "le": None} if name.endswith("_bucket") else labels,
                is_foreign=not name.startswith("tirelessd_"),
            )
    return found


def legal_labels(
    values: Any,
) -> Iterator[tuple[str, frozenset[str] | None]]:
    """Each label with its closed set, None if what it says is up to configuration."""
    for name, known in values:
        yield name, None if name in OPEN_LABELS else frozenset(known)


def sample_names(name: str, type_: str) -> Sequence[str]:
    """What a family is queried as."""
    if type_ in ("histogram", "summary"):
        return [name, *(f"{name}_{part}" for part in ("bucket", "sum", "count"))]
    return [name]


def recorded(files: Mapping[str, str]) -> Mapping[str, Known]:
    """Every name that recording rules make, with the labels that they go by."""
    return {
        rule["record"]: Known(
            rule["record"],
            "recorded",
            dict.fromkeys(grouped_labels(rule["expr"]) | rule.get("labels", {}).keys()),
        )
        for rule in rules_in(files)
        if "record" in rule
    }


def rules_in(files: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Every rule of the files that hold any."""
    for path, text in files.items():
        if path.startswith("rules/"):
            for group in groups_in(text):
                yield from group["rules"]


@cache
def groups_in(text: str) -> Sequence[Mapping[str, Any]]:
    """The groups of one file of rules."""
    groups: Sequence[Mapping[str, Any]] = yaml.safe_load(text)["groups"]
    return groups


@cache
def known_names() -> Mapping[str, Known]:
    """All of them."""
    foreign = {name: Known(name, "foreign", is_foreign=True) for name in FOREIGN}
    return {**foreign, **recorded(rules.files()), **registered()}


def problems(
    query: str, known: Mapping[str, Known], awaited: frozenset[str] = frozenset()
) -> list[str]:
    """What a query asks for that is not there: names, labels and values of labels.

    Of an awaited name nothing is said.
    """
    found = [
        problem
        for selector in selectors(query)
        if family_name(selector.name) not in awaited
        for problem in selector_problems(selector, known)
    ]
    vocabulary = {label for each in known.values() for label in each.labels}
    vocabulary |= TARGET_LABELS | ADDED_LABELS
    if awaited.isdisjoint(family_name(each.name) for each in selectors(query)):
        found += [f"no label {label}" for label in sorted(grouped_labels(query) - vocabulary)]
    return found


def family_name(name: str) -> str:
    """A sample's name without the part that belongs to histograms."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


def selector_problems(selector: Selector, known: Mapping[str, Known]) -> Iterator[str]:
    """What is wrong with one selector."""
    there = known.get(selector.name)
    if there is None:
        yield f"no metric {selector.name}"
    elif not there.is_foreign:
        for match in selector.matches:
            yield from match_problems(match, there)


def match_problems(match: Match, there: Known) -> Iterator[str]:
    """What is wrong with one matcher of a selector."""
    if match.label in TARGET_LABELS or match.label == "__name__":
        return
    if match.label not in there.labels:
        yield f"{there.name} has no label {match.label}"
        return
    legal = there.labels[match.label]
    if legal is None or not match.value or match.value.startswith("$"):
        return
    for value in wanted_values(match):
        if not any(re.fullmatch(value, each) for each in legal):
            yield f"{there.name}: {match.label} is never {value}"


def wanted_values(match: Match) -> Sequence[str]:
    """The patterns, one for each alternative, that a matcher's value stands for."""
    if match.operator in ("=", "!="):
        return [re.escape(match.value)]
    return match.value.split("|")
