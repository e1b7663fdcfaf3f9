"""The invariants of the fault plan, checked from outside: ledger, upstream and API must agree.

Each `check_…` names the invariant it stands for and fails with the items that break it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.faults.ledger import Ledger
from tests.faults.process import DaemonProcess
from tests.faults.upstream import Upstream
from tests.waiting import wait_until

SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class Books:
    """Everything an experiment has written down when it is over."""

    ledger: Ledger
    upstream: Upstream
    items: Mapping[str, Mapping[str, Any]]
    kills: int
    slots: int


async def settle(
    daemon: DaemonProcess, ledger: Ledger, upstream: Upstream, *, kills: int, slots: int
) -> Books:
    """Wait until nothing is left to do, bounded, and read every acknowledged item."""
    async with aiohttp.ClientSession() as session:

        async def is_settled() -> bool:
            return not await unfinished(session, daemon)

        await wait_until(is_settled, SETTLE_SECONDS)
        items = {}
        for entry in ledger.of("acked"):
            url = f"{daemon.urls['api']}/v1/items/{entry.item_id}"
            async with session.get(url) as response:
                items[entry.key] = await response.json(content_type=None)
    return Books(ledger, upstream, items, kills, slots)


async def unfinished(session: aiohttp.ClientSession, daemon: DaemonProcess) -> int:
    """How many items have not ended, by the API."""
    async with session.get(f"{daemon.urls['api']}/v1/queues") as response:
        queues = (await response.json())["items"]
    waiting = ("ready", "scheduled", "retrying", "running")
    return sum(queue["counts"][state] for queue in queues for state in waiting)


def check_all(books: Books) -> None:
    """I1 to I5."""
    check_nothing_is_lost(books)
    check_every_item_ended(books)
    check_attempts(books)
    check_duplicates(books)
    check_no_phantoms(books)


def check_nothing_is_lost(books: Books) -> None:
    """I1: every item whose 202 arrived is in the store."""
    lost = [key for key, item in books.items.items() if "state" not in item]
    assert not lost, f"{len(lost)} acknowledged items are lost: {lost[:5]}"


def check_every_item_ended(books: Books) -> None:
    """I2: each ended once; succeeded means a 2xx was sent, dead means none outside a crash."""
    successes = books.upstream.successes()
    for key, item in books.items.items():
        assert item["state"] in ("succeeded", "dead"), (key, item)
        if item["state"] == "succeeded":
            assert successes[key], f"{key} succeeded without any 2xx of the upstream"
        elif not books.kills:
            assert not successes[key], f"{key} is dead although the upstream answered 2xx"


def check_attempts(books: Books) -> None:
    """I3: no more attempts than allowed, nor more hits than attempts and crashes explain."""
    hits = Counter(hit.key for hit in books.upstream.hits)
    for key, item in books.items.items():
        assert item["attempts"] <= item["max_attempts"], (key, item)
        assert hits[key] <= item["max_attempts"] + books.kills, (key, hits[key])


def check_duplicates(books: Books) -> None:
    """I4: an item is delivered twice only around a crash, at most once per slot and crash."""
    twice = {key: count for key, count in books.upstream.successes().items() if count > 1}
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
