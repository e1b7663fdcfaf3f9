"""What handlers say through `context.logger` is written, and bears the marks of its item."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
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


@pytest.mark.parametrize("level", ["info", "warning", "error", "critical"])
def test_arguments_that_do_not_fit_cost_no_attempt(log: Log, level: str) -> None:
    """The line is written without them, and the handler goes on."""
    logger = log.logs.handler_logger("item-1", "work", 1).bind(step=3)

    getattr(logger, level)("%d of %d", "two", seconds=1.5)

    (line,) = log.lines()
    expected = {"message": "%d of %d", "level": level, "step": 3, "seconds": 1.5}
    assert expected.items() <= line.items()


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
    log, console = open_log(), open_log(format="console")

    for each in (log, console):
        each.logs.handler_logger("item-1", "work", 1).bind(**fields).info("anything")

    (line,) = log.lines()
    assert line["message"] == "anything"
    assert len(console.text().splitlines()) == 1


@pytest.mark.parametrize("name", ["exception", "stack"])
def test_a_handler_s_text_stays_in_its_line(open_log: OpenLog, name: str) -> None:
    """Under these names a console shows blocks of several lines; a handler's are not among them."""
    log = open_log(format="console")

    log.logs.handler_logger("item-1", "work", 1).info("x", **{name: "08:00 [error] item.dead"})

    (line,) = log.text().splitlines()
    assert f"{name}_='08:00 [error] item.dead'" in line


async def test_lines_of_many_threads_are_whole_and_counted(log: Log) -> None:
    """None is lost, torn or counted twice."""
    logger = log.logs.handler_logger("item-1", "work", 1)

    def speak(number: int) -> None:
        for step in range(100):
            logger.info("step", number=number, step=step)

    await asyncio.gather(*(asyncio.to_thread(speak, number) for number in range(8)))

    said = {(line["number"], line["step"]) for line in log.lines()}
    assert len(said) == log.tally.written["info"] == 800


async def test_a_handler_may_log_from_a_thread(log: Log) -> None:
    """Plain functions run in one."""
    logger = log.logs.handler_logger("item-1", "work", 1)

    await asyncio.to_thread(logger.info, "from afar")

    (line,) = log.lines()
    assert line["message"] == "from afar"
