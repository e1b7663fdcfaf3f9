"""The standard library's logging, brought into the log: aiohttp, asyncio, warnings, handlers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import Processor

from tirelessd.observe import labels
from tirelessd.observe.lines import Level
from tirelessd.observe.safety import safe_value
from tirelessd.observe.sink import Sink

LEVEL_NUMBERS: Final[Mapping[Level, int]] = {
    level: getattr(logging, level.upper()) for level in labels.LOG_LEVELS
}
# One line a request would be the bulk of every log, and its path and agent are callers' text.
SILENCED: Final = "aiohttp.access"


class Routing:
    """Brings the standard library's logging into the log, and takes it out again."""

    def __init__(self, level: int, sink: Sink, chain: list[Processor]) -> None:
        self._level = level
        self._handler = SinkHandler(level, sink, chain)
        self._former: tuple[int, list[logging.Handler]] | None = None

    def install(self) -> None:
        """Make the log the root logger's only handler; HTTP access lines are left out."""
        root = logging.root
        self._former = (root.level, list(root.handlers))
        # Anything that writes to standard error by itself would break the one-object-a-line rule.
        root.handlers[:] = [self._handler]
        root.setLevel(self._level)
        logging.captureWarnings(capture=True)
        silenced().disabled = True

    def uninstall(self) -> None:
        """Put everything back."""
        if self._former is None:
            return
        level, logging.root.handlers[:] = self._former
        logging.root.setLevel(level)
        logging.captureWarnings(capture=False)
        silenced().disabled = False
        self._former = None


class SinkHandler(logging.Handler):
    """A handler of the standard library's logging that writes into the sink."""

    def __init__(self, level: int, sink: Sink, chain: list[Processor]) -> None:
        super().__init__(level)
        self._sink = sink
        self.addFilter(self._admit)
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[structlog.stdlib.add_logger_name],
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *chain],
            )
        )

    def _admit(self, record: logging.LogRecord) -> bool:
        """A malformed request is its client's mistake: for debugging, and without a traceback."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError) and error.code < 500:
            record.levelno, record.exc_info = logging.DEBUG, None
        # Libraries make levels of their own; the label of the metric has no room for them.
        record.levelname = nearest_level(record.levelno)
        return record.levelno >= self.level

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; one whose arguments do not fit its text is written without them."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  (arguments are formatted here, and may raise anything)
            record.msg, record.args = safe_value(record.msg), ()
            line = self.format(record)
        self._sink.write(line)


def nearest_level(number: int) -> Level:
    """The level's word, for numbers between two levels the lower one."""
    reached = [level for level, least in LEVEL_NUMBERS.items() if number >= least]
    return reached[-1] if reached else "debug"


def silenced() -> logging.Logger:
    """aiohttp's access log: requests are counted, and items have lines of their own."""
    return logging.getLogger(SILENCED)  # noqa: TID251  (to turn it off)
