"""What a PromQL expression asks for: its selectors, and what stands around each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

import promql_parser
from promql_parser import (
    AggModifier,
    AggregateExpr,
    BinModifier,
    Call,
    VectorSelector,
)

# What Grafana puts in where these stand. The length for `$__rate_interval` is one that nobody would
# write, so that it can be told from a range that was written.
RATE_INTERVAL: Final = timedelta(seconds=86399)
DURATIONS: Final = {
    "__rate_interval": "23h59m59s",
    "__interval": "1m",
    "__range": "6h",
}
GRAFANA_DURATION: Final = re.compile(r"\$\{?(__rate_interval|__interval|__range)\}?")
# The parser's operators have no hash; their names do.
OPERATORS: Final = {
    "MatchOp.Equal": "=",
    "MatchOp.NotEqual": "!=",
    "MatchOp.Re": "=~",
    "MatchOp.NotRe": "!~",
}


@dataclass(frozen=True)
class Match:
    """One matcher of a selector."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True)
class Selector:
    """One vector selector; `around` are the functions and aggregations it stands in, inmost first.

    The length of the range is None for an instant vector; a subquery's counts, too.
    """

    name: str
    matches: tuple[Match, ...]
    range: timedelta | None
    around: tuple[str, ...]

    def matching(self, label: str) -> list[Match]:
        """The matchers of one label."""
        return [match for match in self.matches if match.label == label]


def parsed(query: str) -> Any:
    """The tree of an expression, with lengths in place of Grafana's; ValueError if it is none."""
    return promql_parser.parse(GRAFANA_DURATION.sub(lambda found: DURATIONS[found[1]], query))


@cache
def selectors(query: str) -> Sequence[Selector]:
    """Every vector selector of an expression, from left to right."""
    return tuple(_selectors(parsed(query), None, ()))


def _selectors(node: Any, length: timedelta | None, around: tuple[str, ...]) -> Iterator[Selector]:
    if isinstance(node, VectorSelector):
        yield _selector(node, length, around)
        return
    length = getattr(node, "range", length)
    around = (*surrounding(node), *around)
    for part in parts(node):
        yield from _selectors(part, length, around)


def surrounding(node: Any) -> tuple[str, ...]:
    """What a node puts around its parts: a function or an aggregation."""
    if isinstance(node, AggregateExpr):
        return (str(node.op),)
    return (node.func.name,) if isinstance(node, Call) else ()


def parts(node: Any) -> Iterator[Any]:
    """The expressions right below a node."""
    for name in ("vector_selector", "lhs", "rhs", "expr"):
        if (part := getattr(node, name, None)) is not None:
            yield part
    yield from getattr(node, "args", ())


def _selector(node: VectorSelector, length: timedelta | None, around: tuple[str, ...]) -> Selector:
    matches = tuple(
        Match(each.name, OPERATORS[str(each.op)], each.value) for each in node.matchers.matchers
    )
    named = next((each.value for each in matches if each.label == "__name__"), "")
    return Selector(node.name or named, matches, length, around)


def grouped_labels(query: str) -> set[str]:
    """Every label that an aggregation or a match between vectors goes by."""
    return set(_grouped(parsed(query)))


def _grouped(node: Any) -> Iterator[str]:
    modifier = getattr(node, "modifier", None)
    if isinstance(modifier, AggModifier):
        yield from modifier.labels
    elif isinstance(modifier, BinModifier):
        yield from modifier.matching.labels if modifier.matching else ()
        yield from modifier.group_labels or ()
    for part in parts(node):
        yield from _grouped(part)
