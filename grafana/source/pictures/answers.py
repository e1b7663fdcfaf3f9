"""What Prometheus answered to the queries of all panels, over one span of time."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Line(msgspec.Struct, frozen=True):
    """One series of an answer; `samples` are instants and values."""

    labels: dict[str, str]
    samples: list[tuple[float, float | None]]

    @property
    def last(self) -> float:
        """The youngest number, or NaN."""
        return next((v for _, v in reversed(self.samples) if v is not None), float("nan"))


class Answer(msgspec.Struct, frozen=True):
    """What one query of a panel came to."""

    ref: str
    legend: str
    lines: list[Line]


class Answers(msgspec.Struct, frozen=True):
    """Those of all dashboards, by the dashboard and the panel's number; and what fired."""

    began_at: float
    ended_at: float
    panels: dict[str, dict[str, list[Answer]]]
    firing: list[dict[str, str]]

    def of(self, uid: str, panel: Mapping[str, Any]) -> list[Answer]:
        """The answers to one panel's queries."""
        return self.panels.get(uid, {}).get(str(panel["id"]), [])


def name_of(answer: Answer, line: Line) -> str:
    """A series as the legend has it."""
    if answer.legend:
        return LABEL.sub(lambda found: line.labels.get(found[1], ""), answer.legend).strip()
    return " ".join(line.labels.values())


def named_lines(answers: list[Answer]) -> Iterator[tuple[str, Line]]:
    """Every series with its name."""
    for answer in answers:
        for line in answer.lines:
            yield name_of(answer, line), line
