"""The checks themselves: sound books pass, and for each check there are books that it fails on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.exposition import Exposition
from tests.faults import check, conduct, verdict
from tests.faults.books import Books, Row, copied_rows
from tests.faults.ledger import Entry
from tests.faults.process import End
from tests.faults.upstream import Hit
from tests.faults.verdict import Check
from tests.faults.watch import MIB, Probe, Sample

pytestmark = pytest.mark.unhurried

PID = 7
ENDS = {"ok": "succeeded", "flaky": "succeeded", "bad": "dead"}
PROBLEM = {
    "type": "about:blank",
    "title": "Full",
    "status": 503,
    "code": "queue_full",
    "request_id": "r",
    "accepted": False,
}
NUMBERS: Mapping[str, float] = {
    "items_accepted_total{}": 3,
    'items_completed_total{outcome="succeeded"}': 2,
    'items_completed_total{outcome="dead"}': 1,
    'items_completed_total{outcome="cancelled"}': 0,
    'attempts_total{outcome="success",reason="none"}': 2,
    'attempts_total{outcome="retry",reason="http_5xx"}': 1,
    'attempts_total{outcome="retry",reason="http_429"}': 0,
    'attempts_total{outcome="give_up",reason="http_3xx"}': 0,
    'attempts_total{outcome="retry",reason="timeout"}': 0,
    'intake_requests_total{result="queue_full"}': 1,
    'intake_requests_total{result="draining"}': 0,
    'intake_requests_total{result="store_error"}': 0,
    'intake_requests_total{result="internal_error"}': 0,
    'intake_requests_total{result="rate_limited"}': 0,
    "unhandled_exceptions_total{}": 0,
    **{
        f'queue_items{{queue="work",state="{state}"}}': float(state == "dead")
        for state in ("ready", "scheduled", "retrying", "running", "dead")
    },
}


def life(**changes: float) -> Exposition:
    """A scrape; changes name a metric, or with `__` a label's value of it, as `dead__items`."""
    numbers = {
        sample: next((new for name, new in changes.items() if stands_for(name, sample)), value)
        for sample, value in NUMBERS.items()
    }
    return Exposition("".join(f"tirelessd_{name} {value}\n" for name, value in numbers.items()))


def stands_for(name: str, sample: str) -> bool:
    """Whether a change is meant for a sample."""
    metric, _, word = name.partition("__")
    return sample.startswith(metric + "{") and (not word or f'"{word}"' in sample)


def entry(word: str, fate: Any = "acked", **changes: Any) -> Entry:
    """A submission whose key is its word."""
    known: dict[str, Any] = {
        "status": 202,
        "item_id": f"id-{word}",
        "seconds": 0.01,
        "digest": f"#{word}",
    }
    return Entry(word, fate, **{**known, **changes})


def hit(word: str, status: int, at: float, attempt: int = 1, **changes: Any) -> Hit:
    """A request of a tenth of a second."""
    told: dict[str, Any] = {"digest": f"#{word}", "started_at": at, "ended_at": at + 0.1, **changes}
    return Hit(word, f"id-{word}", attempt, status, word, **told)


def item(word: str, **changes: Any) -> dict[str, Any]:
    """An item as the API lists it."""
    attempts = 2 if word == "flaky" else 1
    return {
        "id": f"id-{word}",
        "state": ENDS[word],
        "attempts": attempts,
        "max_attempts": 8,
        "generation": 1,
        **changes,
    }


def refusal(**changes: Any) -> Entry:
    """A submission that was answered 503 as it should be."""
    known: dict[str, Any] = {
        "status": 503,
        "item_id": "",
        "answer": PROBLEM,
        "content_type": "application/problem+json",
        "retry_after": "1",
    }
    return entry("full", "refused", **{**known, **changes})


def row(word: str, **changes: Any) -> Row:
    """An item as it lies in the file."""
    return replace(Row(f"id-{word}", word, ENDS[word], 1, 1), **changes)


def looked(at: float, **changes: Any) -> Sample:
    """A look at the process."""
    return replace(Sample(at, PID, 70 * MIB, 20, 5, 0.1), **changes)


SOUND = Books(
    entries=[entry("ok"), entry("flaky"), entry("bad"), refusal()],
    hits=[
        hit("ok", 200, 1.0),
        hit("flaky", 500, 2.0),
        hit("flaky", 200, 3.0, 2),
        hit("bad", 422, 4.0),
    ],
    items={f"id-{word}": item(word) for word in ENDS},
    counts={
        **dict.fromkeys(("ready", "scheduled", "retrying", "running", "cancelled"), 0),
        "succeeded": 2,
        "dead": 1,
    },
    rows={f"id-{word}": row(word) for word in ENDS},
    lives=[life()],
    ends=[End(20.0, PID, 0)],
    slots=1,
    probes=[Probe(1.0, PID, "/readyz", 200, 0.01), Probe(2.0, PID, "/livez", 200, 0.01)],
    samples=[looked(1.0)],
    calm=looked(1.0),
    rest=looked(9.0),
    lines=[{"ts": "2026-01-01T00:00:00Z", "event": "item.dead", "item_id": "id-bad"}],
)


def also(name: str, *values: Any) -> Books:
    """Sound books with more in one of their lists."""
    longer: dict[str, Any] = {name: [*getattr(SOUND, name), *values]}
    return replace(SOUND, **longer)


def without(name: str, word: str) -> Books:
    """Sound books in which an item is missing from where it should be."""
    items = getattr(SOUND, name).items()
    shorter: dict[str, Any] = {name: {k: v for k, v in items if k != f"id-{word}"}}
    return replace(SOUND, **shorter)


def crashed(books: Books, at: float = 3.0) -> Books:
    """The same books after a crash."""
    ends = [End(at, 6, -9), *books.ends]
    return replace(books, ends=ends, kills=1)


TWICE = also("hits", hit("ok", 200, 6.0, 2))
MANY_LINES = [{"ts": "2026-01-01T00:00:01Z", "event": "attempt.failed"}] * 21

BROKEN: list[tuple[Check, Books]] = [
    (check.check_nothing_is_lost, without("items", "ok")),
    (check.check_nothing_is_lost, without("rows", "ok")),
    (
        check.check_nothing_is_lost,
        replace(without("items", "ok"), is_purging=True, hits=SOUND.hits[1:]),
    ),
    (
        check.check_every_item_ended,
        replace(SOUND, items={**SOUND.items, "id-ok": item("ok", state="queued")}),
    ),
    (
        check.check_every_item_ended,
        replace(SOUND, rows={**(SOUND.rows or {}), "id-ok": row("ok", state="dead")}),
    ),
    (check.check_ends_are_true, replace(SOUND, hits=SOUND.hits[1:])),
    (check.check_ends_are_true, replace(SOUND, hits=[hit("ok", 0, 1.0), *SOUND.hits[1:]])),
    (check.check_ends_are_true, also("hits", hit("bad", 200, 5.0))),
    (
        check.check_attempts,
        replace(SOUND, items={**SOUND.items, "id-ok": item("ok", attempts=9)}),
    ),
    (check.check_attempts, also("hits", *(hit("bad", 500, 5.0 + n) for n in range(8)))),
    (
        check.check_attempts,
        crashed(also("hits", *(hit("bad", 500, 5.0 + n) for n in range(8))), at=90.0),
    ),
    (check.check_duplicates, TWICE),
    (check.check_duplicates, crashed(also("hits", hit("ok", 200, 6.0), hit("ok", 200, 7.0)))),
    (check.check_duplicates, crashed(TWICE, at=5.5)),
    (check.check_no_phantoms, also("hits", hit("full", 200, 5.0))),
    (check.check_no_phantoms, also("hits", hit("unsent", 200, 5.0))),
    (
        check.check_no_phantoms,
        replace(SOUND, rows={**(SOUND.rows or {}), "id-x": row("ok", key="full")}),
    ),
    (
        check.check_no_phantoms,
        replace(SOUND, rows={**(SOUND.rows or {}), "id-x": row("ok", item_id="id-x")}),
    ),
    (check.check_payloads, also("hits", hit("ok", 500, 5.0, digest="#other"))),
    (check.check_store_counts, without("rows", "ok")),
    (check.check_store_counts, replace(SOUND, counts={**SOUND.counts, "dead": 2})),
    (check.check_store_counts, replace(SOUND, lives=[life(queue_items__ready=1)])),
    (check.check_item_counters, replace(SOUND, lives=[life(items_accepted_total=4)])),
    (check.check_item_counters, replace(SOUND, lives=[life(items_completed_total__dead=0)])),
    (check.check_attempt_counters, replace(SOUND, lives=[life(attempts_total__none=3)])),
    (check.check_attempt_counters, replace(SOUND, lives=[life(attempts_total__http_5xx=0)])),
    (check.check_refusal_counters, replace(SOUND, lives=[life(intake_requests_total=0)])),
    (conduct.check_memory, also("samples", looked(3.0, rss_bytes=171 * MIB))),
    (conduct.check_memory, replace(SOUND, calm=looked(1.0, rss_bytes=151 * MIB))),
    (conduct.check_nothing_leaks, replace(SOUND, rest=looked(9.0, descriptors=26))),
    (conduct.check_nothing_leaks, replace(SOUND, rest=looked(9.0, threads=11))),
    (conduct.check_nobody_restarted, also("samples", looked(3.0, pid=8))),
    (conduct.check_alive, also("probes", Probe(3.0, PID, "/livez", 0, 0.01))),
    (conduct.check_alive, also("probes", Probe(3.0, PID, "/livez", 200, 0.6))),
    (conduct.check_alive, replace(SOUND, probes=[])),
    (conduct.check_logs, replace(SOUND, stray_output=["Segmentation fault"])),
    (conduct.check_logs, also("lines", {"event": "x", "exception": "Traceback …"})),
    (conduct.check_logs, also("lines", {"message": "coroutine 'f' was never awaited"})),
    (conduct.check_logs, replace(SOUND, lives=[life(unhandled_exceptions_total=1)])),
    (conduct.check_log_volume, also("lines", *MANY_LINES)),
    (conduct.check_log_volume, also("lines", SOUND.lines[0])),
    (conduct.check_refusals, also("entries", refusal(content_type="text/plain"))),
    (conduct.check_refusals, also("entries", refusal(answer={**PROBLEM, "code": ""}))),
    (conduct.check_refusals, also("entries", refusal(answer={**PROBLEM, "accepted": True}))),
    (conduct.check_refusals, also("entries", refusal(retry_after=""))),
    (conduct.check_cap, also("hits", hit("ok", 500, 1.0, ended_at=5.0))),
]


def test_sound_books_pass() -> None:
    """Nothing is wrong with books that agree."""
    verdict.check_all(SOUND)


@pytest.mark.parametrize(
    ("each", "books"), BROKEN, ids=lambda value: getattr(value, "__name__", "")
)
def test_broken_books_are_found(each: Check, books: Books) -> None:
    """Every check fails on books that break what it stands for."""
    with pytest.raises(AssertionError):
        each(books)


def test_every_check_can_fail() -> None:
    """No check of the verdict is without books that it fails on."""
    tried = {each for each, _ in BROKEN}

    assert {each for checks in verdict.CHECKS.values() for each in checks} == tried


@pytest.mark.parametrize("name", ["I1", "I2", "I5"])
def test_what_always_holds_cannot_be_left_out(name: str) -> None:
    """Loss, ends and phantoms are checked in every experiment."""
    with pytest.raises(AssertionError, match=name):
        verdict.check_all(SOUND, without={name})


def test_crash_explains_a_repeat_and_a_few_counts() -> None:
    """One delivery per slot may be repeated soon after a crash, and counters may lack as many."""
    books = replace(crashed(TWICE, at=2.0), lives=[life(items_accepted_total=3 - 17)])

    verdict.check_all(books, without={"I9"})


def test_slow_answers_are_found() -> None:
    """A hundredth of the answers beyond the promised latency fails the row."""
    slow = also("entries", entry("late", seconds=0.3))

    with pytest.raises(AssertionError, match="p99"):
        conduct.check_latency(slow, 0.25)
    conduct.check_latency(slow, 0.25, until=-1.0)
    with pytest.raises(AssertionError, match="answers"):
        conduct.check_refusals_are_quick(slow, 0.25)


def test_answer_after_the_time_limit_is_no_delivery() -> None:
    """A 2xx that came when the attempt had timed out counts for no duplicate."""
    late = also("hits", hit("ok", 200, 6.0, ended_at=8.5))

    check.check_duplicates(late)
    unsure = replace(TWICE, rows={**(SOUND.rows or {}), "id-ok": row("ok", timed_out={1: -0.9})})
    check.check_duplicates(unsure)
    in_time = replace(TWICE, rows={**(SOUND.rows or {}), "id-ok": row("ok", timed_out={1: 0.9})})
    with pytest.raises(AssertionError):
        check.check_duplicates(in_time)


def test_rows_are_read_from_a_copy(tmp_path: Path) -> None:
    """The file itself, and its log, are copied and left as they are; damage in them is found."""
    path = tmp_path / "tirelessd.db"
    make_database(path)
    before = path.read_bytes()

    rows = copied_rows(path, tmp_path / "copy")

    assert [dataclasses.astuple(each) for each in rows.values()] == [
        ("id", "k", "dead", 8, 1, {2: 5.0})
    ]
    assert path.read_bytes() == before
    path.write_bytes(before[:4096] + b"\xff" * 100 + before[4196:])
    with pytest.raises((AssertionError, apsw.CorruptError)):
        copied_rows(path, tmp_path / "copy")


def make_database(path: Path) -> None:
    """A file with the two tables that matter here."""
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE items (row INTEGER PRIMARY KEY, id, state, attempts, generation)")
        db.execute("CREATE TABLE failures (row, attempt, reason, started_at)")
        db.execute("INSERT INTO failures VALUES (1, 2, 'timeout', 5.0), (1, 3, 'connect', 6.0)")
        db.execute("CREATE TABLE payloads (row INTEGER PRIMARY KEY, content)")
        db.execute("INSERT INTO items VALUES (1, 'id', 'dead', 8, 1)")
        db.execute("INSERT INTO payloads VALUES (1, CAST('bad:k:..' AS BLOB))")
    db.close()
