"""What an experiment has written down when it is over, from every side, as plain values."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from tests.exposition import Exposition
from tests.faults.ledger import Entry, Fate
from tests.faults.process import End
from tests.faults.upstream import Hit, words_of
from tests.faults.watch import Probe, Sample

# How much of a payload is read to find its key.
HEAD_BYTES = 256
# An answer that was sent this shortly before its attempt's end need not have been in time.
MARGIN_SECONDS = 0.25

_ROWS = """
SELECT items.id, items.state, items.attempts, items.generation,
    substr(payloads.content, 1, :head)
FROM items LEFT JOIN payloads USING (row)
"""
_TIMEOUTS = """
SELECT items.id, failures.attempt, failures.started_at
FROM failures JOIN items USING (row) WHERE failures.reason = 'timeout'
"""


@dataclass(frozen=True)
class Row:
    """An item as it lies in the file once no daemon runs.

    `timed_out` has the starts of attempts that timed out, by their numbers, in epoch seconds.
    """

    item_id: str
    key: str
    state: str
    attempts: int
    generation: int
    timed_out: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Books:
    """The books of one experiment; every field but the first three may be left empty.

    `items` are those of the API by their ids, `counts` the queue's items per shown state, `rows`
    those of the file. `lives` has the last scrape of each process, in order, `pods` of which ran at
    once; `commit_items` bounds what one commit may hold at this load. `is_purging`: ended items may
    have been deleted by their age. `epoch` is what the event loop's clock is behind the wall's.
    """

    entries: Sequence[Entry]
    hits: Sequence[Hit]
    items: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, Row] | None = None
    lives: Sequence[Exposition] = ()
    ends: Sequence[End] = ()
    kills: int = 0
    pods: int = 1
    slots: int = 32
    commit_items: int = 16
    attempt_seconds: float = 2.0
    epoch: float = 0.0
    is_purging: bool = False
    probes: Sequence[Probe] = ()
    samples: Sequence[Sample] = ()
    calm: Sample | None = None
    rest: Sample | None = None
    lines: Sequence[Mapping[str, Any]] = ()
    stray_output: Sequence[str] = ()

    def of(self, fate: Fate) -> list[Entry]:
        """The submissions of a fate."""
        return [entry for entry in self.entries if entry.fate == fate]

    @property
    def acked(self) -> dict[str, Entry]:
        """What was promised to be done, by key."""
        return {entry.key: entry for entry in self.of("acked")}

    @property
    def refused(self) -> set[str]:
        """The keys of which every submission was refused."""
        taken = {entry.key for entry in self.entries if entry.fate != "refused"}
        return {entry.key for entry in self.of("refused")} - taken

    @property
    def crashes(self) -> list[End]:
        """The ends of processes that were not drained."""
        return [end for end in self.ends if end.is_crash]

    @property
    def successes(self) -> Counter[str]:
        """How often each key was answered 2xx, complete."""
        return Counter(hit.key for hit in self.hits if hit.is_success())

    def has_arrived(self, hit: Hit) -> bool:
        """Whether a 2xx reached the daemon complete and in time, for all that can be known.

        Of an attempt that timed out the daemon alone knows when it began: a connection can take
        long to be made. Its own word for the end is not taken, only its word for the beginning.
        """
        row = (self.rows or {}).get(hit.item_id)
        began_at = hit.started_at
        if row is not None and hit.attempt in row.timed_out:
            began_at = row.timed_out[hit.attempt] - self.epoch
        in_time = hit.ended_at - began_at < self.attempt_seconds - MARGIN_SECONDS
        return hit.is_success() and not hit.is_doubtful and in_time

    @property
    def arrivals(self) -> Counter[str]:
        """How often each key was answered 2xx, complete and in time."""
        return Counter(hit.key for hit in self.hits if self.has_arrived(hit))

    @property
    def lost(self) -> list[str]:
        """The keys of promised items that are nowhere, unless done and deleted by their age."""
        done = self.successes if self.is_purging else Counter[str]()
        held = self.items.keys() if self.rows is None else self.items.keys() & self.rows.keys()
        return [k for k, entry in self.acked.items() if entry.item_id not in held and not done[k]]

    @property
    def repeated(self) -> dict[str, list[float]]:
        """When the keys that were delivered more than once were so, complete and in time."""
        ended: dict[str, list[float]] = {}
        for hit in self.hits:
            if self.has_arrived(hit):
                ended.setdefault(hit.key, []).append(hit.ended_at)
        return {key: sorted(instants) for key, instants in ended.items() if len(instants) > 1}

    @property
    def duplicates(self) -> int:
        """How many deliveries were one too many."""
        return sum(len(instants) - 1 for instants in self.repeated.values())

    @property
    def slack(self) -> int:
        """How much counters may have missed: nothing but what was going on when processes ended."""
        ends = max(self.kills, len(self.lives) - self.pods)
        return ends * (self.slots + self.commit_items)

    def total(self, name: str, **labels: str) -> float:
        """A counter, added up over the lives of the daemon."""
        return sum(life.total(name, **labels) for life in self.lives)


def copied_rows(database: Path, folder: Path) -> dict[str, Row]:
    """The items in a copy of the database, by id; fails when SQLite finds the file damaged.

    Only after the daemon has stopped: this opens nothing that anybody uses.
    """
    folder.mkdir(exist_ok=True)
    for name in (database.name, f"{database.name}-wal"):
        if (source := database.with_name(name)).exists():
            shutil.copyfile(source, folder / name)
    with apsw.Connection(str(folder / database.name)) as db:
        db.execute("PRAGMA query_only = ON")
        damage = db.execute("PRAGMA integrity_check").get
        assert damage == "ok", f"{database.name} is damaged: {damage}"
        found: list[tuple[Any, ...]] = db.execute(_ROWS, {"head": HEAD_BYTES}).fetchall()
        timed_out: dict[str, dict[int, float]] = {}
        for item_id, attempt, started_at in db.execute(_TIMEOUTS):
            timed_out.setdefault(str(item_id), {})[int(attempt or 0)] = float(started_at or 0.0)
    db.close()
    return {
        item_id: Row(
            item_id,
            words_of(head or b"")[1],
            state,
            attempts,
            generation,
            timed_out.get(item_id, {}),
        )
        for item_id, state, attempts, generation, head in found
    }
