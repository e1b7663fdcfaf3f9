"""The invariants of the fault plan, I1 to I6: ledger, upstream, store and counters must agree.

Each `check_…` stands for one sentence and fails with the items that break it; those on how the
daemon behaved meanwhile, I7 to I11, are in `conduct`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from tests.faults.books import Books
from tests.faults.upstream import Hit

ENDED = ("succeeded", "dead", "cancelled")
# What of an answer may still be on its way to the store when a process dies.
SETTLING_SECONDS = 1.0
UNAVAILABLE = ("queue_full", "draining", "store_error", "internal_error", "rate_limited")
BY_STATUS = {"http_5xx": range(500, 600), "http_429": range(429, 430), "http_3xx": range(300, 400)}


def none_of(broken: Collection[Any], what: str) -> None:
    """Fail, with the first few, when anything breaks a rule."""
    assert not broken, f"{len(broken)} {what}: {list(broken)[:5]}"


def check_nothing_is_lost(books: Books) -> None:
    """I1: every item whose 202 arrived is in the store, by the API and in the file."""
    none_of(books.lost, "acknowledged items are lost")


def check_every_item_ended(books: Books) -> None:
    """I2: every promised item has ended, and what the API called its end is so in the file."""
    open_items = {
        entry.key: item["state"] for entry, item in promised(books) if item["state"] not in ENDED
    }
    none_of(open_items.items(), "items have not ended")
    changed = {
        row.key: (books.items[row.item_id]["state"], row.state)
        for row in (books.rows or {}).values()
        if row.item_id in books.items and books.items[row.item_id]["state"] != row.state
    }
    none_of(changed.items(), "items changed after their end")


def check_ends_are_true(books: Books) -> None:
    """I2: succeeded means that a whole 2xx was sent; dead that none was, outside a crash."""
    states = {entry.key: item["state"] for entry, item in promised(books)}
    sent = books.successes
    unearned = [key for key, state in states.items() if state == "succeeded" and not sent[key]]
    none_of(unearned, "items succeeded without any 2xx of the upstream")
    arrived = books.arrivals
    ignored = [key for key, state in states.items() if state == "dead" and arrived[key]]
    if not books.kills:
        none_of(ignored, "items are dead although the upstream answered 2xx")


def check_attempts(books: Books) -> None:
    """I3: no more attempts than allowed, nor more hits than these and interruptions explain."""
    hits: dict[str, list[Hit]] = {}
    for hit in books.hits:
        hits.setdefault(hit.key, []).append(hit)
    over = {}
    for entry, item in promised(books):
        allowed = item["max_attempts"] * item["generation"]
        seen = hits.get(entry.key, [])
        if item["attempts"] > item["max_attempts"]:
            over[entry.key] = f"{item['attempts']} attempts recorded"
        elif len(seen) > allowed + interruptions(books, seen):
            over[entry.key] = f"{len(seen)} hits"
    none_of(over.items(), "items were attempted too often")


def interruptions(books: Books, hits: Iterable[Hit]) -> int:
    """How many ends of the daemon an item's attempts were in flight at."""
    spans = [(hit.started_at, hit.ended_at + SETTLING_SECONDS) for hit in hits]
    return sum(any(start <= end.at <= over for start, over in spans) for end in books.ends)


def check_duplicates(books: Books) -> None:
    """I4: a delivery is repeated only across a crash, at most once per slot, and soon before it."""
    repeated = books.repeated
    if not books.kills:
        none_of(repeated.items(), "items were delivered twice without a crash")
    none_of([0] * max(0, books.duplicates - books.slots * books.kills), "deliveries too many")
    reach = books.attempt_seconds + SETTLING_SECONDS
    unexplained = {
        key: instants
        for key, instants in repeated.items()
        if books.crashes and not any(0 <= end.at - instants[0] <= reach for end in books.crashes)
    }
    none_of(unexplained.items(), "items were delivered twice far from any crash")


def check_no_phantoms(books: Books) -> None:
    """I5: nothing refused is done or stored, nothing appears unsent, nothing is stored twice."""
    sent = {entry.key for entry in books.entries}
    hit = {each.key for each in books.hits}
    stored = Counter(row.key for row in (books.rows or {}).values())
    none_of(books.refused & hit, "refused items were delivered")
    none_of(books.refused & stored.keys(), "refused items are stored")
    none_of((hit | stored.keys()) - sent, "items appeared that nobody sent")
    none_of([key for key, count in stored.items() if count > 1], "keys have several items")


def check_payloads(books: Books) -> None:
    """I5: what reaches the upstream is what was sent, byte for byte."""
    kept = [entry for entry in books.entries if entry.fate != "refused" or entry.status == 0]
    digests = {entry.key: entry.digest for entry in kept if entry.digest}
    changed = [
        hit.key
        for hit in books.hits
        if hit.digest and hit.key in digests and digests[hit.key] != hit.digest
    ]
    none_of(changed, "payloads were changed on their way")


def check_store_counts(books: Books) -> None:
    """I6: the store holds what the ledger says, as the API, the file and the gauges count it."""
    assert books.rows is not None
    promised_count = len(books.acked)
    least, most = promised_count, promised_count + len(books.of("ambiguous"))
    if not books.is_purging:
        assert least <= len(books.rows) <= most, (least, len(books.rows), most)
        states = Counter(row.state for row in books.rows.values())
        counted = Counter({state: books.counts[state] for state in ENDED})
        assert +states == +counted, (states, counted)
    at_rest = {
        state: books.lives[-1].total("queue_items", state=state)
        for state in ("ready", "scheduled", "retrying", "running", "dead")
    }
    assert at_rest == {state: books.counts[state] for state in at_rest}, (at_rest, books.counts)


def check_item_counters(books: Books) -> None:
    """I6: items accepted and ended, by the counters of all lives, are those in the file."""
    assert books.rows is not None
    states = Counter(row.state for row in books.rows.values())
    gone = sum(books.total("items_completed_total", outcome=end) for end in ENDED) - states.total()
    purged = max(0.0, gone) if books.is_purging else 0.0
    doubtful = len(books.of("ambiguous"))
    near(books, "promises", len(books.acked), books.total("items_accepted_total"), doubtful)
    near(books, "accepted", states.total() + purged, books.total("items_accepted_total"))
    if not books.is_purging:
        for outcome in ENDED:
            counted = books.total("items_completed_total", outcome=outcome)
            near(books, outcome, states[outcome], counted)


def check_attempt_counters(books: Books) -> None:
    """I6: attempts by outcome and reason are the answers that the upstream has written down."""
    timeouts = books.total("attempts_total", reason="timeout")
    first = len([count for count in books.successes.values() if count])
    near(books, "successes", first, books.total("attempts_total", outcome="success"), timeouts)
    answers = Counter(hit.status for hit in books.hits)
    for reason, statuses in BY_STATUS.items():
        answered = sum(answers[status] for status in statuses)
        near(books, reason, answered, books.total("attempts_total", reason=reason), timeouts)


def check_refusal_counters(books: Books) -> None:
    """I6: the refusals that callers read, 503 above all, are those that the daemon counted."""
    read = len([entry for entry in books.entries if entry.status >= 500])
    counted = sum(books.total("intake_requests_total", result=result) for result in UNAVAILABLE)
    unread = len([entry for entry in books.of("ambiguous") if not entry.status])
    near(books, "refusals", read, counted, unread)


def near(books: Books, what: str, true: float, counted: float, spare: float = 0) -> None:
    """Fail unless a counter is true, but for what crashes and `spare` events may explain."""
    assert abs(true - counted) <= books.slack + spare, (
        f"{what}: {true:g} happened, {counted:g} counted, {books.slack + spare:g} may differ"
    )


def promised(books: Books) -> list[tuple[Any, Any]]:
    """Each promise with its item, where it is there."""
    return [
        (entry, books.items[entry.item_id])
        for entry in books.acked.values()
        if entry.item_id in books.items
    ]


def in_order(values: Iterable[float], share: float) -> float:
    """The value below which such a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
