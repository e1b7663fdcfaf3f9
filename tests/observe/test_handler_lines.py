"""What handlers say through `context.logger` is written, and bears the marks of its item."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.observe.written import Log, OpenLog, fail


def test_a_handler_s_line_carries_its_item(log: Log) -> None:
    """Whatever it says is `message`: the catalogue of events stays closed."""
    logger = log.logs.handler_logger("item-1", "work", 2)

    logger.info("loaded %s", "model", seconds=1.5)

    (line,) = log.lines()
    expected = {"event": "handler.message", "message": "loaded model", "seconds": 1.5}
    assert expected.items() <= line.items()
    assert {"item_id": "item-1", "queue": "work", "attempt": 2}.items() <= line.items()


def test_a_handler_cannot_pass_for_the_daemon(log: Log) -> None:
    """Time, level and version are the log's own, whatever a handler binds to their names."""
    logger = log.logs.handler_logger("item-1", "work", 1)

    logger.info("hello", ts="never", level="critical", version="0")

    (line,) = log.lines()
    assert (line["level"], line["version"]) == ("info", "1.2.3")
    assert line["ts"] != "never"


def test_a_handler_s_lines_are_not_sampled(log: Log) -> None:
    """They are its author's to bound."""
    logger = log.logs.handler_logger("item-1", "work", 1)

    for _ in range(50):
        logger.info("step")

    assert len(log.lines()) == 50


def test_a_handler_can_log_an_exception(log: Log) -> None:
    """`logger.exception` takes the one at hand."""
    logger = log.logs.handler_logger("item-1", "work", 1)

    try:
        fail(RuntimeError("odd"))
    except RuntimeError:
        logger.exception("it failed")

    (line,) = log.lines()
    assert (line["level"], line["error"]) == ("error", "RuntimeError: odd")
    assert "exception" in line


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.dictionaries(
        st.text(st.characters(exclude_categories=())).filter(lambda name: name != "event"),
        st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.lists(st.none())),
    )
)
def test_a_handler_can_log_anything(open_log: OpenLog, fields: dict[str, Any]) -> None:
    """Its line is written and parses; logging never fails an attempt."""
    log = open_log()
    logger = log.logs.handler_logger("item-1", "work", 1)

    logger.bind(**fields).info("anything")

    (line,) = log.lines()
    assert line["message"] == "anything"


async def test_a_handler_may_log_from_a_thread(log: Log) -> None:
    """Plain functions run in one."""
    logger = log.logs.handler_logger("item-1", "work", 1)

    await asyncio.to_thread(logger.info, "from afar")

    (line,) = log.lines()
    assert line["message"] == "from afar"
