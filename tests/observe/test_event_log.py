"""Each event is worth its line: which, at which level, with which fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.observe.events import BROKEN, BUSY, EXAMPLES
from tests.observe.written import Log, OpenLog
from tirelessd.core.errors import StoreUnavailable
from tirelessd.core.events import (
    AttemptFinished,
    BackgroundTaskFailed,
    DrainFinished,
    Event,
    ItemAccepted,
    ItemClaimed,
    ItemDied,
    ItemDrained,
    ItemSucceeded,
    UnexpectedError,
)
from tirelessd.core.outcome import DeadReason, Failure, Outcome, Reason
from tirelessd.observe.event_log import UNLOGGED, EventLog
from tirelessd.observe.lines import CATALOGUE

LOGGED = [event for event in EXAMPLES if type(event) not in UNLOGGED]


def written(log: Log, *events: Event) -> list[dict[str, Any]]:
    """The lines of some events."""
    observe = EventLog(log.logs)
    for event in events:
        observe(event)
    return log.lines()


def level_of(log: Log, event: Event) -> str:
    """The level of an event's one line."""
    (line,) = written(log, event)
    level: str = line["level"]
    return level


@pytest.fixture
def debug(open_log: OpenLog) -> Log:
    """A log at debug."""
    return open_log(level="debug")


def failed(attempt: int, failure: Failure = BROKEN) -> Event:
    """An attempt that failed and is tried again."""
    return AttemptFinished("work", "item-1", attempt, 1, Outcome.RETRY, 0.25, failure, 3.5)


@pytest.mark.parametrize("event", LOGGED, ids=lambda event: type(event).__name__)
def test_every_logged_event_leaves_one_line_of_the_catalogue(debug: Log, event: Event) -> None:
    """Its name and level are among those that docs/logs.md lists."""
    levels = {line.event: line.levels for line in CATALOGUE}

    (line,) = written(debug, event)

    assert line["level"] in levels[line["event"]]


@pytest.mark.parametrize("event", LOGGED, ids=lambda event: type(event).__name__)
def test_every_line_tells_whom_it_is_about(debug: Log, event: Event) -> None:
    """An event's queue, item and attempt stand under the same names in every line."""
    names = {"queue", "item_id"} & set(event.__struct_fields__)

    (line,) = written(debug, event)

    assert {name: line[name] for name in names} == {name: getattr(event, name) for name in names}


def test_the_happy_path_is_for_debugging(debug: Log) -> None:
    """Accepted, handed off, succeeded: three lines at debug, and none above."""
    lines = written(
        debug,
        ItemAccepted("work", "item-1", 3, is_handed_off=True),
        ItemClaimed("work", "item-1", 1, 0.0, is_handed_off=True),
        AttemptFinished("work", "item-1", 1, 1, Outcome.SUCCESS, 0.2),
        ItemSucceeded("work", "item-1", 1, 0.2),
    )

    assert [line["event"] for line in lines] == [
        "item.accepted",
        "item.handed_off",
        "item.succeeded",
    ]
    assert {line["level"] for line in lines} == {"debug"}


def test_a_claim_is_no_hand_off(debug: Log) -> None:
    """The line tells on which way the item came to its slot."""
    (line,) = written(debug, ItemClaimed("work", "item-1", 2, 0.75, is_handed_off=False))

    assert (line["event"], line["waited_seconds"]) == ("item.claimed", 0.75)


def test_a_failed_attempt_tells_why_and_what_next(log: Log) -> None:
    """Reason, status, the answer's text, how long it took, and when the next one is due."""
    (line,) = written(log, failed(2, BUSY))

    expected: Mapping[str, Any] = {
        "event": "attempt.failed",
        "queue": "work",
        "item_id": "item-1",
        "attempt": 2,
        "outcome": "retry",
        "reason": "http_429",
        "status": 429,
        "detail": "429: slow down",
        "duration_ms": 250.0,
        "retry_in_seconds": 3.5,
    }
    assert expected.items() <= line.items()


@pytest.mark.parametrize(
    ("attempt", "level"), [(1, "info"), (2, "info"), (3, "warning"), (9, "warning")]
)
def test_a_repeated_failure_becomes_a_warning(log: Log, attempt: int, level: str) -> None:
    """Once or twice is what retries are for."""
    assert level_of(log, failed(attempt)) == level


def test_a_storm_of_retries_is_sampled_by_reason(log: Log) -> None:
    """A flood of one reason leaves the first line of another."""
    timeout = failed(1, Failure(Reason.TIMEOUT, "no answer within 30 s"))

    lines = written(log, *(failed(1) for _ in range(50)), timeout)

    assert [line["reason"] for line in lines] == ["http_5xx"] * 5 + ["timeout"]


def test_every_give_up_leaves_its_line(log: Log) -> None:
    """Always, once, as an error: why, and what the last attempt was answered."""
    died = ItemDied("work", "item-1", 5, 61.5, DeadReason.MAX_ATTEMPTS, BROKEN)

    lines = written(log, *[died] * 40)

    assert len(lines) == 40
    expected: Mapping[str, Any] = {
        "event": "item.dead",
        "level": "error",
        "attempt": 5,
        "outcome": "give_up",
        "reason": "max_attempts",
        "last_reason": "http_5xx",
        "status": 500,
        "detail": "500: boom",
        "age_seconds": 61.5,
    }
    assert expected.items() <= lines[0].items()


def test_the_attempt_that_gave_up_has_no_line_of_its_own(log: Log) -> None:
    """Its item's line says it all; two would count as two."""
    given_up = AttemptFinished("work", "item-1", 5, 1, Outcome.GIVE_UP, 0.2, BROKEN)

    assert written(log, given_up) == []


def test_an_item_that_expired_without_an_attempt_says_so(log: Log) -> None:
    """There is no last answer to tell."""
    (line,) = written(log, ItemDied("work", "item-1", 0, 61.5, DeadReason.EXPIRED, None))

    assert line["reason"] == "expired"
    assert not {"last_reason", "status", "detail"} & set(line)


def test_a_released_attempt_is_no_failure(log: Log) -> None:
    """A rollout should leave no warnings."""
    drained = Failure(Reason.DRAIN, "draining")
    released = AttemptFinished("work", "item-1", 1, 1, Outcome.RELEASED, 0.2, drained)

    assert level_of(log, released) == "info"


@pytest.mark.parametrize(
    ("result", "level"), [("finished", "info"), ("released", "info"), ("abandoned", "error")]
)
def test_an_abandoned_item_is_an_error(log: Log, result: Any, level: str) -> None:
    """It is the one end of a drain that somebody must look at."""
    assert level_of(log, ItemDrained("work", "item-1", result)) == level


@pytest.mark.parametrize(("abandoned", "level"), [(0, "info"), (1, "error")])
def test_a_drain_ends_with_its_counts(log: Log, abandoned: int, level: str) -> None:
    """One line for the rollout's author."""
    counts: Any = {"finished": 2, "released": 3, "abandoned": abandoned}

    (line,) = written(log, DrainFinished(counts, 1.5))

    assert line["level"] == level
    assert counts.items() <= line.items()


def test_a_round_that_the_store_failed_is_a_warning(log: Log) -> None:
    """The store has an error of its own; a round that fails for another reason is one too."""
    rounds = [
        BackgroundTaskFailed("purge", StoreUnavailable("locked", "busy"), 1),
        BackgroundTaskFailed("purge", RuntimeError("odd"), 1),
    ]

    lines = written(log, *rounds)

    assert [line["level"] for line in lines] == ["warning", "error"]
    assert ["fingerprint" in line for line in lines] == [False, True]


def test_a_defect_says_where(log: Log) -> None:
    """The place that caught it, and the error."""
    (line,) = written(log, UnexpectedError("slot work 3", RuntimeError("odd")))

    assert line["event"] == "error.unexpected"
    assert (line["where"], line["error"]) == ("slot work 3", "RuntimeError: odd")


def test_events_below_the_level_are_not_even_looked_at(log: Log) -> None:
    """At info the events of the happy path find no method."""
    observe = EventLog(log.logs)

    assert {ItemAccepted, ItemClaimed, ItemSucceeded} <= observe.seen
    assert not {ItemAccepted, ItemClaimed, ItemSucceeded} & observe.written
