"""From what is to be said to a finished line: safe fields in their order, then JSON or columns."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from tirelessd.core.clock import Clock, instant
from tirelessd.core.errors import TirelessdError
from tirelessd.core.outcome import text_of_error
from tirelessd.core.trace import HERE, TraceContext
from tirelessd.observe.lines import LINES_LOST, Line
from tirelessd.observe.safety import safe_key, safe_traceback, safe_value
from tirelessd.observe.sampling import Fingerprints, fingerprint_of
from tirelessd.observe.sink import LineTally

# What the log says of itself; a handler that binds one of these names is not heard.
OWN_FIELDS: Final = frozenset({"ts", "level", "event", "pod", "version"})
# What a console shows below the line. Under such a name a value chosen by others would stand at the
# beginning of a line of its own, so theirs get another name.
BLOCKS: Final = frozenset({"exception", "stack"})


class Shape:
    """Gives a line its fields and their order; everything in it is safe to write afterwards.

    `about` stands at the end of every line. A line that does not tell its trace gets the one of the
    code that writes it.
    """

    def __init__(self, clock: Clock, tally: LineTally, about: Mapping[str, str | None]) -> None:
        self._clock = clock
        self._tally = tally
        self._about = {name: value for name, value in about.items() if value is not None}
        self._fingerprints = Fingerprints()

    def __call__(self, _logger: Any, method: str, fields: EventDict) -> EventDict:
        """The line's fields, `ts level event` first; a None is left out."""
        error = error_of(fields.pop("exc_info", None))
        line: EventDict = {"ts": self._timestamp(), "level": method, "event": fields["event"]}
        for key, value in fields.items():
            if value is not None and key not in OWN_FIELDS:
                line[safe_key(key) + "_" * (key in BLOCKS)] = safe_value(value)
        if error is not None:
            self._add_error(line, error)
        if "trace_id" not in line:
            line.update(trace_fields(HERE.get()))
        line.update(self._about)
        self._tally.line_written(method)
        return line

    def _timestamp(self) -> str:
        # Always UTC, so the offset that isoformat writes is as long as it is dull.
        return instant(self._clock.wall()).isoformat(timespec="milliseconds")[:-6] + "Z"

    def _add_error(self, line: EventDict, error: BaseException) -> None:
        """Say what it was; how it came to it too, once, and only for what nobody foresaw."""
        line["error"] = safe_value(text_of_error(error))
        if isinstance(error, TirelessdError):
            return
        # The same defect tends to come a thousand times; its first traceback says all there is.
        line["fingerprint"] = fingerprint_of(error)
        if self._fingerprints.first_sight(line["fingerprint"]):
            line["exception"] = safe_traceback(error)


def trace_fields(trace: TraceContext | None) -> dict[str, str]:
    """What a line says of where in a trace it belongs; nothing without one."""
    return {} if trace is None else {"trace_id": trace.trace_id, "span_id": trace.span_id}


class Rename:
    """Puts a text that somebody else chose under `message`, and a word of the catalogue first."""

    def __init__(self, line: Line) -> None:
        self._event = line.event

    def __call__(self, _logger: Any, _method: str, fields: EventDict) -> EventDict:
        """The fields under their new names."""
        return {**fields, "message": fields["event"], "event": self._event}


def error_of(exc_info: Any) -> BaseException | None:
    """The exception that `exc_info` stands for, in all the shapes that logging allows."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return error_of(exc_info[1])
    return sys.exc_info()[1] if exc_info else None


def json_line(_logger: Any, _method: str, fields: EventDict) -> str:
    """The line as one JSON object."""
    return msgspec.json.encode(fields).decode()


def console_line(*, is_colored: bool) -> Processor:
    """A renderer for people: the time of day, columns, and tracebacks that stay in their margin."""
    is_colored = is_colored and "NO_COLOR" not in os.environ
    render = structlog.dev.ConsoleRenderer(
        colors=is_colored, timestamp_key="ts", pad_event_to=18, sort_keys=False
    )

    def line(logger: Any, method: str, fields: EventDict) -> str:
        # Who looks at a terminal knows the date.
        fields["ts"] = fields["ts"][11:]
        # A message inside may look like a line of the log; behind a margin it cannot pass for one.
        if "exception" in fields:
            fields["exception"] = "  | " + fields["exception"].replace("\n", "\n  | ")
        return render(logger, method, fields)

    return line


def loss_line(shape: Shape, render: Processor, count: int) -> str:
    """The line that tells how many are missing."""
    level = LINES_LOST.levels[0]
    return str(render(None, level, shape(None, level, {"event": LINES_LOST.event, "lines": count})))
