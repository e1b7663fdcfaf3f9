"""What libraries log stands in the log like all else; what clients do wrong does not."""

from __future__ import annotations

import logging
import warnings

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage

from tests.observe.events import PATIENCE_SECONDS
from tests.observe.written import TOKEN, Log, OpenLog, raised


def test_the_standard_library_s_logging_comes_as_json(log: Log) -> None:
    """Libraries know nothing of the log, and stand in it like everybody else."""
    log.logs.install()

    logging.getLogger("shop.images").warning("%d images\nare %s", 3, "odd")

    (line,) = log.lines()
    assert line["event"] == "library.message"
    assert (line["level"], line["logger"]) == ("warning", "shop.images")
    assert line["message"] == "3 images\\nare odd"


def test_a_library_s_exception_keeps_its_traceback(log: Log) -> None:
    """Nobody else would tell it."""
    log.logs.install()

    logging.getLogger("shop").error("failed", exc_info=raised(RuntimeError("odd")))

    (line,) = log.lines()
    assert line["error"] == "RuntimeError: odd"
    assert "Traceback" in line["exception"]


def test_a_record_that_cannot_be_formatted_is_written_as_it_is(log: Log) -> None:
    """A wrong format string is a nuisance, not a reason to raise or to fall silent."""
    log.logs.install()

    logging.getLogger("shop").warning("%d images", "three")

    (line,) = log.lines()
    assert line["message"] == "%d images"


@pytest.mark.parametrize(
    ("number", "level"), [(5, None), (25, "info"), (35, "warning"), (99, "critical")]
)
def test_a_level_of_a_library_s_own_is_the_nearest_below(
    log: Log, number: int, level: str | None
) -> None:
    """The label `level` of the metric has five values."""
    log.logs.install()

    logging.getLogger("shop").log(number, "text")

    assert [line["level"] for line in log.lines()] == ([level] if level else [])


def test_a_malformed_request_is_no_error_of_ours(open_log: OpenLog) -> None:
    """aiohttp logs it with a traceback; here it is for debugging, without the client's bytes."""
    log, debug = open_log(), open_log(level="debug")
    error = raised(BadHttpMessage(f"Invalid header: b'Authorization: {TOKEN}'"))

    for each in (log, debug):
        each.logs.install()
        logging.getLogger("aiohttp.server").error("Error handling request", exc_info=error)
        each.logs.close(PATIENCE_SECONDS)

    assert log.lines() == []
    (line,) = debug.lines()
    assert (line["level"], line["message"]) == ("debug", "Error handling request")
    assert TOKEN not in debug.text()


def test_access_lines_are_left_out(log: Log) -> None:
    """Requests are counted; their paths and agents are callers' text."""
    log.logs.install()

    logging.getLogger("aiohttp.access").warning("GET /v1/queues")

    assert log.lines() == []


def test_warnings_and_structlog_s_default_logger_come_too(log: Log) -> None:
    """Both would write to standard output or error by themselves."""
    log.logs.install()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", stacklevel=1)
    structlog.get_logger().info("stray", part="x")

    old, stray = log.lines()
    assert old["logger"] == "py.warnings"
    assert (stray["event"], stray["message"], stray["part"]) == ("library.message", "stray", "x")


def test_close_undoes_install(log: Log) -> None:
    """A test, or a program that embeds the daemon, gets its own logging back."""
    handlers, level = list(logging.root.handlers), logging.root.level

    log.logs.install()
    log.logs.close(PATIENCE_SECONDS)

    assert (list(logging.root.handlers), logging.root.level) == (handlers, level)
    assert not logging.getLogger("aiohttp.access").disabled
    assert not structlog.is_configured()
