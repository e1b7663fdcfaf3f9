"""The invariants of the fault plan, checked from outside: ledger, upstream and API must agree.

Each `check_…` names the invariant it stands for and fails with the items that break it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.ledger import Entry, Ledger
from tests.faults.upstream import Upstream


@dataclass(frozen=True)
class Books:
    """Everything an experiment has written down when it is over.

    `items` are those of the store by their ids, as the API lists them.
    """

    ledger: Ledger
    upstream: Upstream
    items: Mapping[str, Mapping[str, Any]]
    kills: int
    slots: int
    attempt_seconds: float = 2.0

    @property
    def acked(self) -> list[Entry]:
        """What was promised to be done."""
        return self.ledger.of("acked")

    @property
    def lost(self) -> list[str]:
        """The keys of promised items that are not there."""
        return [entry.key for entry in self.acked if entry.item_id not in self.items]

    @property
    def repeated(self) -> dict[str, int]:
        """How often the keys were delivered that were so more than once."""
        counts = self.upstream.successes(self.attempt_seconds)
        return {key: count for key, count in counts.items() if count > 1}


def check_all(books: Books) -> None:
    """I1 to I5."""
    check_nothing_is_lost(books)
    check_every_item_ended(books)
    check_attempts(books)
    check_duplicates(books)
    check_no_phantoms(books)


def check_nothing_is_lost(books: Books) -> None:
    """I1: every item whose 202 arrived is in the store."""
    lost = books.lost

    assert not lost, f"{len(lost)} acknowledged items are lost: {lost[:5]}"


def check_every_item_ended(books: Books) -> None:
    """I2: each ended once; succeeded means a 2xx was sent, dead means none outside a crash."""
    successes = books.upstream.successes()
    for entry in books.acked:
        key, item = entry.key, books.items[entry.item_id]
        assert item["state"] in ("succeeded", "dead"), (key, item)
        if item["state"] == "succeeded":
            assert successes[key], f"{key} succeeded without any 2xx of the upstream"
        elif not books.kills:
            assert not successes[key], f"{key} is dead although the upstream answered 2xx"


def check_attempts(books: Books) -> None:
    """I3: no more attempts than allowed, nor more hits than attempts and crashes explain."""
    hits = Counter(hit.key for hit in books.upstream.hits)
    for entry in books.acked:
        key, item = entry.key, books.items[entry.item_id]
        assert item["attempts"] <= item["max_attempts"], (key, item)
        assert hits[key] <= item["max_attempts"] + books.kills, (key, hits[key])


def check_duplicates(books: Books) -> None:
    """I4: an item is delivered twice only around a crash, at most once per slot and crash."""
    twice = books.repeated
    assert sum(twice.values()) - len(twice) <= books.slots * books.kills, twice


def check_no_phantoms(books: Books) -> None:
    """I5: nothing that was refused is ever delivered, and nothing that was never sent appears."""
    refused = {entry.key for entry in books.ledger.of("refused")}
    sent = {entry.key for entry in books.ledger.entries}
    hit = {hit.key for hit in books.upstream.hits}
    assert not refused & hit
    assert hit <= sent


def metric(text: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels, read from the exposition text."""
    total = 0.0
    for line in text.splitlines():
        head, _, value = line.rpartition(" ")
        family, _, rest = head.partition("{")
        if family == name and all(f'{key}="{word}"' in rest for key, word in labels.items()):
            total += float(value)
    return total


def in_order(values: Sequence[float], share: float) -> float:
    """The value below which such a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
