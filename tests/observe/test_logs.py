"""The log is one JSON object a line: its fields, its levels, its sampling, its tracebacks."""

from __future__ import annotations

import logging
import os
from contextvars import copy_context

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.observe.events import PATIENCE_SECONDS, CountingTally, ManualClock
from tests.observe.written import TOKEN, Log, OpenLog, raised
from tirelessd.core.errors import StoreUnavailable
from tirelessd.core.trace import HERE, TraceContext
from tirelessd.observe.lines import (
    BACKGROUND_FAILED,
    ERROR_UNEXPECTED,
    ITEM_ACCEPTED,
    ITEM_CANCELLED,
    ITEM_DEAD,
    STORE_HEALED,
)
from tirelessd.observe.logs import Logs

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_line_has_its_fields_in_their_order(log: Log) -> None:
    """Time, level and event first, the version last: a line is read from the left."""
    log.logs.write(ITEM_DEAD, queue="work", item_id="item-1", reason="expired")

    assert log.text() == (
        '{"ts":"2027-01-15T08:00:00.000Z","level":"error","event":"item.dead","queue":"work",'
        '"item_id":"item-1","reason":"expired","version":"1.2.3"}\n'
    )


def test_a_line_says_where_in_a_trace_it_belongs(open_log: OpenLog) -> None:
    """The ids stand after the fields, the pod before the version."""
    log = open_log(pod="shop-1")

    log.logs.write(ITEM_DEAD, queue="work", trace=TraceContext(TRACEPARENT))

    assert log.text().endswith(
        '"queue":"work","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736",'
        '"span_id":"00f067aa0ba902b7","pod":"shop-1","version":"1.2.3"}\n'
    )


def test_a_handler_s_lines_belong_to_its_attempt_s_trace(log: Log) -> None:
    """Through the logger of its context, and through Python's own while it runs."""
    trace = TraceContext(TRACEPARENT)
    there = copy_context()
    there.run(HERE.set, trace)
    log.logs.install()

    log.logs.handler_logger("item-1", "work", 1, trace).warning("through the context")
    there.run(logging.warning, "through Python's own")
    logging.warning("from elsewhere")  # noqa: LOG015  (libraries do)

    ids = [line.get("trace_id") for line in log.lines()]
    assert ids == [trace.trace_id, trace.trace_id, None]


def test_a_field_without_a_value_is_left_out(log: Log) -> None:
    """An absent status is no status."""
    log.logs.write(ITEM_DEAD, queue="work", status=None)

    (line,) = log.lines()
    assert "status" not in line


def test_lines_below_the_level_are_not_written(log: Log) -> None:
    """Nor counted."""
    log.logs.write(ITEM_ACCEPTED, queue="work")

    assert log.lines() == []
    assert log.tally.written == {}


def test_lines_are_counted_by_level(log: Log) -> None:
    """What the metric shows is what stands in the log."""
    log.logs.write(ITEM_DEAD)
    log.logs.write(ITEM_DEAD)
    log.logs.write(STORE_HEALED)

    assert [line["level"] for line in log.lines()] == ["error", "error", "info"]
    assert log.tally.written == {"error": 2, "info": 1}


def test_info_is_sampled_and_says_so(log: Log) -> None:
    """Five lines of a kind in a minute, then the count of what is missing."""
    for _ in range(9):
        log.logs.write(ITEM_CANCELLED, queue="work")
    log.clock.advance(60)
    log.logs.write(ITEM_CANCELLED, queue="work")

    assert [line.get("suppressed") for line in log.lines()] == [None] * 5 + [4]
    assert log.tally.suppressed == 4


def test_errors_are_never_sampled(log: Log) -> None:
    """Every item given up leaves its line."""
    for _ in range(200):
        log.logs.write(ITEM_DEAD, queue="work", reason="expired")

    assert len(log.lines()) == 200


def test_debug_is_not_sampled(open_log: OpenLog) -> None:
    """Whoever turns it on follows single items, and needs each of their lines."""
    log = open_log(level="debug")

    for _ in range(200):
        log.logs.write(ITEM_ACCEPTED, queue="work")

    assert len(log.lines()) == 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=())))
def test_no_text_can_forge_a_line(open_log: OpenLog, text: str) -> None:
    """An upstream chooses the detail; in either format it stays within its line."""
    for form in ("json", "console"):
        log = open_log(format=form)

        log.logs.write(ITEM_DEAD, detail=f"{text}\n{text}\r\n\x1b[2J{text}")

        written = log.text()
        assert written.endswith("\n")
        assert written[:-1].isprintable()


def test_no_secret_is_written(log: Log) -> None:
    """Queries and tokens are masked in every field, in errors and in tracebacks."""
    secret = f"https://user:{TOKEN}@models/predict?key={TOKEN} Authorization: Bearer {TOKEN}"

    log.logs.write(ERROR_UNEXPECTED, detail=secret, exc_info=raised(RuntimeError(secret)))
    log.logs.handler_logger("item-1", "work", 1).warning(secret, url=secret)

    text = log.text()
    assert text.count("models/predict") > 3
    assert TOKEN not in text


def test_a_defect_shows_its_traceback_once(log: Log) -> None:
    """The second time its fingerprint is enough to find the first."""
    for _ in range(2):
        log.logs.write(ERROR_UNEXPECTED, where="here", exc_info=raised(RuntimeError("odd")))

    first, second = log.lines()
    assert first["exception"].startswith("Traceback")
    assert "exception" not in second
    assert first["fingerprint"] == second["fingerprint"]
    assert first["error"] == second["error"] == "RuntimeError: odd"


def test_an_error_of_our_own_has_no_traceback(log: Log) -> None:
    """It says what is wrong; where it was raised helps nobody."""
    log.logs.write(BACKGROUND_FAILED, exc_info=raised(StoreUnavailable("locked", "busy")))

    (line,) = log.lines()
    assert line["error"] == "StoreUnavailable: locked"
    assert not {"exception", "fingerprint"} & set(line)


def test_a_log_without_a_stream_runs() -> None:
    """Started without standard error, Python has none either."""
    tally = CountingTally()
    with open(os.devnull, encoding="utf-8") as stream:  # noqa: PTH123  (closed on purpose)
        pass

    logs = Logs(
        level="info", format="auto", version="0", clock=ManualClock(), tally=tally, stream=stream
    )
    logs.write(STORE_HEALED)

    assert logs.close(PATIENCE_SECONDS)
    assert tally.suppressed == 1
