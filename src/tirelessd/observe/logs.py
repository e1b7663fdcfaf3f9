"""The log: one line per event of the catalogue on standard error, as JSON or for a terminal.

Everything that wants to say something comes through here: the daemon's own lines, handlers through
`context.logger`, and libraries through the standard library's logging.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final, Literal, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from tirelessd.core.clock import Clock
from tirelessd.core.trace import TraceContext
from tirelessd.observe.forgiving import forgiving_logger
from tirelessd.observe.lines import HANDLER_MESSAGE, LIBRARY_MESSAGE, Level, Line
from tirelessd.observe.rendering import (
    Rename,
    Shape,
    console_line,
    json_line,
    loss_line,
    trace_fields,
)
from tirelessd.observe.routing import LEVEL_NUMBERS, Routing
from tirelessd.observe.sampling import Sampler
from tirelessd.observe.sink import LineTally, Sink

MakeLogger = Callable[..., FilteringBoundLogger]
LogFormat = Literal["auto", "json", "console"]

# Debug is turned on by hand, to follow single items; errors are what somebody is waiting for.
SAMPLED_LEVELS: Final = frozenset({"info", "warning"})
CLOSE_SECONDS: Final = 2.0


class Logs:
    """The log of a process; `write` is for the catalogue's lines, `handler_logger` for handlers.

    `level` is the lowest that is written. `format` "auto" is the console's where standard error is
    a terminal, JSON elsewhere. `pod` tells processes apart. `tally` counts lines. Nothing here
    blocks or raises because of what is logged or where it goes to; `close` ends it.
    """

    def __init__(
        self,
        *,
        level: Level,
        format: LogFormat,  # noqa: A002  (the setting's name)
        version: str,
        pod: str | None = None,
        clock: Clock,
        tally: LineTally,
        stream: TextIO | None = None,
    ) -> None:
        descriptor = descriptor_of(sys.stderr if stream is None else stream)
        is_terminal = descriptor is not None and os.isatty(descriptor)
        is_console = format == "console" or (format == "auto" and is_terminal)
        render = console_line(is_colored=is_terminal) if is_console else json_line
        # These serve whoever looks at lines of many daemons, which no terminal shows.
        about = {} if is_console else {"pod": pod, "version": version}
        shape = Shape(clock, tally, about)
        self._level = LEVEL_NUMBERS[level]
        self._tally = tally
        self._sampler = Sampler(clock)
        self._sink = Sink(descriptor, tally, lambda count: loss_line(shape, render, count))
        self._lines = Lines(self._sink)
        self._wrapper = forgiving_logger(self._level)
        self._bound = cast(MakeLogger, self._wrapper)
        self._own = self._bound(self._lines, [shape, render], {})
        self._handler_chain: list[Processor] = [Rename(HANDLER_MESSAGE), shape, render]
        self._library_chain: list[Processor] = [Rename(LIBRARY_MESSAGE), shape, render]
        self._routing = Routing(self._level, self._sink, self._library_chain)

    def is_written(self, line: Line) -> bool:
        """Whether any of the line's levels is."""
        return max(LEVEL_NUMBERS[level] for level in line.levels) >= self._level

    def write(self, line: Line, level: Level | None = None, **fields: Any) -> None:
        """Write a line of the catalogue, at its lowest level unless another is given.

        Info and warnings are sampled by event, queue and reason; debug is not, as whoever turns it
        on is after single items, and errors never are. A `trace` is written as its ids.
        """
        level = level or line.levels[0]
        if LEVEL_NUMBERS[level] < self._level:
            return
        if level in SAMPLED_LEVELS:
            suppressed = self._sampler.admit(
                (line.event, fields.get("queue"), fields.get("reason"))
            )
            if suppressed is None:
                self._tally.lines_suppressed(1)
                return
            if suppressed:
                fields["suppressed"] = suppressed
        fields |= trace_fields(fields.pop("trace", None))
        self._own.log(LEVEL_NUMBERS[level], line.event, **fields)

    def handler_logger(
        self, item_id: str, queue: str, attempt: int, trace: TraceContext | None = None
    ) -> FilteringBoundLogger:
        """The logger of one attempt's context; its lines carry item, queue, attempt and trace."""
        fields = {"queue": queue, "item_id": item_id, "attempt": attempt, **trace_fields(trace)}
        return self._bound(self._lines, self._handler_chain, fields)

    def install(self) -> None:
        """Route the standard library's logging, warnings and structlog's default logger here."""
        self._routing.install()
        # A handler may use structlog by itself; by default it would print to standard output.
        structlog.configure(
            processors=self._library_chain,
            wrapper_class=self._wrapper,
            logger_factory=lambda *_names: self._lines,
            cache_logger_on_first_use=False,
        )

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> bool:
        """Undo `install`, write what is left, and stop; whether there was time for all of it."""
        self._routing.uninstall()
        structlog.reset_defaults()
        return self._sink.close(timeout_seconds)


class Lines:
    """The end of structlog's chain: a logger whose every method writes a finished line."""

    def __init__(self, sink: Sink) -> None:
        # structlog calls the method named like the level; the line tells its level by itself.
        self.debug = self.info = self.warning = self.error = self.critical = sink.write


def descriptor_of(stream: TextIO | None) -> int | None:
    """Where the stream writes to; None when it is closed or none of the system's."""
    try:
        # Python has no stream where the process was started with standard error closed.
        return stream.fileno() if stream is not None else None
    except (OSError, ValueError):
        return None
