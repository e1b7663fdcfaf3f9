"""U4: an upstream that says when to come back is not asked sooner, whatever nonsense others say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.faults.experiment import Experiment
from tests.faults.raw_upstream import RawUpstream, Reply, Wire, answer, at_first
from tests.waiting import a_moment

LOAD_SECONDS = 15.0
# An HTTP date has whole seconds, so that it may ask for almost a second less than was meant.
ROUNDED_SECONDS = 1.0
# A wait of the policy's own after the first attempt, and what a busy daemon adds to it.
OWN_SECONDS = 0.2
LATE_SECONDS = 1.0

NONSENSE = {
    "negative": "-5",
    "fraction": "2.5",
    "words": "in a minute",
    "empty": "",
    "past": "Thu, 01 Jan 1970 00:00:00 GMT",
    "no-date": "Sun, 99 Foo 2026 99:99:99 GMT",
    "far-date": "Fri, 31 Dec 99999 23:59:59 GMT",
    "zone": "Sun, 22 Nov 2026 12:00:00 +99999999999",
    "arabic": "٢",
    "nan": "nan",
    "list": "3600, 3600",
}
HUGE = {"huge": "9" * 4_000, "century": "3155760000", "last-date": "Fri, 31 Dec 9999 23:59:59 GMT"}


async def in_three_seconds(wire: Wire) -> int:
    """A 503 with an HTTP date, by a server's own clock that is an hour late."""
    now = datetime.now(UTC) - timedelta(hours=1)
    dates = [format_datetime(at, usegmt=True) for at in (now + timedelta(seconds=3), now)]
    return await answer(503, b"", f"Retry-After: {dates[0]}", f"Date: {dates[1]}")(wire)


def asking(value: str, status: int = 503) -> Reply:
    """An answer that asks for a wait."""
    return answer(status, b"", f"Retry-After: {value}")


@pytest.mark.row("U4")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_upstream_is_not_asked_sooner_than_it_said(experiment: Experiment) -> None:
    """Both forms are kept to by each item they were said to; nonsense is as if nothing was said."""
    replies = {"two": asking("2", 429), "three": in_three_seconds}
    replies |= {word: asking(value) for word, value in (NONSENSE | HUGE).items()}
    async with RawUpstream() as upstream:
        experiment.upstream = upstream
        upstream.replies = {word: at_first(reply) for word, reply in replies.items()}
        await experiment.start(queue={"retry": {"retry_after_cap_seconds": 5}})

        async with experiment.load(
            word={"ok": 80, "two": 5, "three": 5, **dict.fromkeys(replies, 1)}
        ):
            await a_moment(LOAD_SECONDS)
        books = await experiment.finish()

    waits = waits_by_word(upstream)
    assert waits.keys() == replies.keys()
    check_waits(waits["two"], 2.0, 2.0)
    check_waits(waits["three"], 3.0 - ROUNDED_SECONDS, 3.0)
    for word in NONSENSE:
        check_waits(waits[word], 0.1, 0.0)
    for word in HUGE:
        check_waits(waits[word], 5.0, 5.0)
    assert {item["attempts"] for item in books.items.values()} == {1, 2}


def check_waits(seconds: list[float], least: float, asked: float) -> None:
    """Nobody came sooner than the least, nor much later than was asked and drawn."""
    assert min(seconds) >= least, seconds
    assert sorted(seconds)[len(seconds) // 2] <= asked + OWN_SECONDS + LATE_SECONDS, seconds


def waits_by_word(upstream: RawUpstream) -> dict[str, list[float]]:
    """The seconds between the first and the second attempt on each item, by word."""
    ended_at = {hit.key: hit.ended_at for hit in upstream.hits if hit.attempt == 1}
    waits: dict[str, list[float]] = {}
    for hit in upstream.hits:
        if hit.attempt == 2:
            waits.setdefault(hit.word, []).append(hit.started_at - ended_at[hit.key])
    return waits
