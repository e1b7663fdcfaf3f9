"""The invariants of the fault plan, I7 to I11: how the daemon behaved while it was tried."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.faults.books import Books
from tests.faults.check import in_order, none_of
from tests.faults.watch import MIB, Probe

RSS_CALM_MIB = 150.0
RSS_FAULT_MIB = 100.0
SPARE_COUNT = 5
LIVEZ_SECONDS = 1.0
LAG_SECONDS = 0.5
LINES_PER_SECOND = 20
# A process that is told to end, or has just been started, need not answer a probe.
DEAF_SECONDS = 1.0
# Two intervals seen by the upstream may overlap by the time that news of an end takes.
NEWS_SECONDS = 0.1
# One line for each item that ended so, never sampled: they are the record of what was given up.
PER_ITEM = ("item.dead", "item.drained")
UNFORESEEN = ("Traceback", "never retrieved", "never awaited", "was destroyed but it is pending")


def check_latency(
    books: Books, p99_seconds: float, *, since: float = 0.0, until: float = math.inf
) -> None:
    """I7: accepted submissions that were sent in a span were answered quickly enough."""
    sent = [entry for entry in books.acked.values() if since <= entry.sent_at < until]
    p99 = in_order([entry.seconds for entry in sent], 0.99)
    assert p99 <= p99_seconds, f"p99 of {len(sent)} is {p99:.3f} s, promised {p99_seconds:g} s"


def check_refusals_are_quick(books: Books, seconds: float = 1.0, share: float = 0.99) -> None:
    """I7: on the store path an answer, 503 too, comes within a second nearly always."""
    slow = in_order([entry.seconds for entry in books.entries if entry.status], share)
    assert slow <= seconds, f"{share:.0%} of answers took up to {slow:.3f} s"


def check_memory(books: Books) -> None:
    """I8: memory stays within a hundred MiB of the calm, and comes to rest low."""
    if books.calm is None or books.rest is None:
        return
    peak = max(sample.rss_bytes for sample in books.samples) / MIB
    limit = books.calm.rss_bytes / MIB + RSS_FAULT_MIB
    assert peak <= limit, f"peak of {peak:.0f} MiB, at most {limit:.0f} allowed"
    calm = books.calm.rss_bytes / MIB
    assert calm <= RSS_CALM_MIB, f"{calm:.0f} MiB when calm"


def check_nothing_leaks(books: Books) -> None:
    """I8: descriptors and threads are back to what they were, give or take five."""
    if books.calm is None or books.rest is None:
        return
    pairs = {
        "descriptors": (books.calm.descriptors, books.rest.descriptors),
        "threads": (books.calm.threads, books.rest.threads),
    }
    leaked = {name: counts for name, counts in pairs.items() if counts[1] - counts[0] > SPARE_COUNT}
    none_of(leaked.items(), "kinds of resource leak")


def check_nobody_restarted(books: Books) -> None:
    """I9: there were as many processes as were started on purpose."""
    pids = {sample.pid for sample in books.samples}
    known = {end.pid for end in books.ends} | ({books.rest.pid} if books.rest else set())
    none_of(pids - known, "processes came and went")


def check_alive(books: Books) -> None:
    """I9: the loop answers /livez within a second, half of that for lag, ends and starts aside."""
    asked = [probe for probe in books.probes if probe.path == "/livez"]
    ready_at = {
        pid: min(probe.at for probe in books.probes if probe.pid == pid and probe.status == 200)
        for pid in {probe.pid for probe in books.probes if probe.status == 200}
    }
    dying = {end.pid: end.at - DEAF_SECONDS for end in books.ends}
    lives = [
        probe
        for probe in asked
        if ready_at.get(probe.pid, math.inf) <= probe.at
        and probe.at + probe.seconds < dying.get(probe.pid, math.inf)
    ]
    assert asked, "nobody asked /livez"
    none_of([probe for probe in lives if is_deaf(probe)], "probes of /livez failed or were late")


def is_deaf(probe: Probe) -> bool:
    """Whether a probe had no good answer in time, the asking side's own lateness taken off."""
    seconds = probe.seconds - probe.rig_late_seconds
    return probe.status != 200 or seconds > min(LIVEZ_SECONDS, LAG_SECONDS)


def check_logs(books: Books) -> None:
    """I10: no traceback, nothing that asyncio complains of, nothing beside the log's lines."""
    none_of(books.stray_output, "lines stand beside the log")
    bad = [line for line in books.lines if any(word in str(line) for word in UNFORESEEN)]
    none_of(bad + [line for line in books.lines if "exception" in line], "lines show defects")
    for life in books.lives:
        assert life.total("unhandled_exceptions_total") == 0
        assert not life.has("metric_label_overflow_total"), "a label's value is outside its set"


def check_log_volume(books: Books) -> None:
    """I10: at most twenty lines a second, but for one line to each item that was given up."""
    seconds = Counter(
        str(line.get("ts", ""))[:19] for line in books.lines if line.get("event") not in PER_ITEM
    )
    none_of(
        [pair for pair in seconds.items() if pair[1] > LINES_PER_SECOND],
        "seconds have too many log lines",
    )
    ends = Counter(
        (line.get("event"), line.get("item_id"), line.get("ts"))
        for line in books.lines
        if line.get("event") in PER_ITEM
    )
    none_of([pair for pair, count in ends.items() if count > 1], "items have lines twice over")


def check_refusals(books: Books) -> None:
    """I10: a refusal is a problem document with a code; a 503 says when, and what was accepted."""
    answered = [entry for entry in books.entries if entry.status >= 400]
    vague = [
        (entry.status, entry.answer)
        for entry in answered
        if entry.content_type != "application/problem+json" or not is_problem(entry.answer)
    ]
    none_of(vague, "refusals are no problem documents")
    unavailable = [entry for entry in answered if entry.status == 503]
    silent = [
        entry.answer
        for entry in unavailable
        if entry.answer.get("accepted") not in (False, "unknown") or not entry.retry_after
    ]
    none_of(silent, "answers of 503 do not say what was accepted, or when to come back")


def is_problem(answer: Mapping[str, Any]) -> bool:
    """Whether a JSON answer has what a problem document needs here."""
    return all(answer.get(name) for name in ("type", "title", "status", "code", "request_id"))


def check_cap(books: Books) -> None:
    """I11: the upstream never had more requests at once than there are slots."""
    changes = []
    for hit in books.hits:
        late = min(NEWS_SECONDS, (hit.ended_at - hit.started_at) / 2)
        changes += [(hit.started_at, 1), (hit.ended_at - late, -1)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    assert most <= books.slots, f"{most} requests at once for {books.slots} slots"
