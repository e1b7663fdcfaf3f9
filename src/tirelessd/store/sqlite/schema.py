"""The tables, as ordered migrations: each runs once, in one transaction of its own.

`items` is narrow and hot: every state change rewrites a row there and as few index entries as
possible, for an item that a slot takes at once and that succeeds is one insert and one update.
What is written once and read rarely (payloads, results, failures) stands in tables of its own
under the same row number. Rows are numbered in the order of acceptance.

A migration that has been released is never edited; a change is a new one at the end.
"""

from __future__ import annotations

from typing import Final

# "tire": lets `file` and this program tell the database from anybody else's.
APPLICATION_ID: Final = 0x74697265

_FIRST: Final = """
CREATE TABLE items (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 9),
    attempts INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    lost_leases INTEGER NOT NULL,
    accepted_at REAL NOT NULL,
    first_due_at REAL NOT NULL,
    due_at REAL NOT NULL,
    deadline_at REAL NOT NULL,
    deadline_seconds REAL NOT NULL,
    token INTEGER,
    owner INTEGER,
    finished_at REAL,
    dead_reason TEXT
);
CREATE UNIQUE INDEX items_id ON items (id);
-- Lists in the order of acceptance. It leaves the state out, so that no state change touches it.
CREATE INDEX items_queue ON items (queue);
CREATE INDEX items_leased ON items (queue) WHERE state = 'leased';
-- Claims: one probe per priority. The last two columns let counts and claims skip without a lookup.
CREATE INDEX items_claim ON items (queue, priority, due_at, row, deadline_at, attempts)
    WHERE state = 'queued' AND lost_leases = 0;
-- The same for items that lost a lease, which are claimed a few at a time.
CREATE INDEX items_recovered ON items (queue, priority, due_at, row, deadline_at, attempts)
    WHERE state = 'queued' AND lost_leases > 0;
CREATE INDEX items_deadline ON items (deadline_at) WHERE state = 'queued';
-- Purge, oldest end first, and the counts of what has ended.
CREATE INDEX items_ended ON items (queue, state, finished_at) WHERE finished_at IS NOT NULL;
-- Dead letters in the order they died, with what filters ask for.
CREATE INDEX items_dead ON items (finished_at, id, queue, dead_reason) WHERE state = 'dead';

CREATE TABLE payloads (
    row INTEGER PRIMARY KEY,
    content BLOB NOT NULL,
    content_type TEXT NOT NULL,
    headers TEXT,
    traceparent TEXT,
    tracestate TEXT
);
CREATE TABLE results (
    row INTEGER PRIMARY KEY,
    content BLOB NOT NULL,
    content_type TEXT NOT NULL
);
CREATE TABLE failures (
    row INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    reason TEXT NOT NULL,
    status INTEGER,
    detail TEXT NOT NULL,
    started_at REAL NOT NULL,
    duration_seconds REAL NOT NULL,
    PRIMARY KEY (row, generation, attempt)
) WITHOUT ROWID;
CREATE TABLE idempotency_keys (
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    item_id TEXT NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
CREATE TABLE pauses (
    queue TEXT PRIMARY KEY,
    expires_at REAL
) WITHOUT ROWID;
-- The mark of the last commit: tells, after one that failed, whether it happened.
CREATE TABLE commits (mark INTEGER NOT NULL);
INSERT INTO commits VALUES (0);
"""

# Purged rows leave gaps at the end, too: the number of the last one that was given out.
_LAST_ROW: Final = """
ALTER TABLE commits ADD COLUMN last_row INTEGER NOT NULL DEFAULT 0;
"""

# The store's time, so that a start goes on from it: when the last commit was, and when the clock
# that counts from the system's boot was at 0.
_TIME: Final = """
ALTER TABLE commits ADD COLUMN left_at REAL NOT NULL DEFAULT 0;
ALTER TABLE commits ADD COLUMN booted_at REAL NOT NULL DEFAULT 0;
"""

# Where in a trace an item was put back from; a table of its own, for hardly any item has that.
_REDRIVES: Final = """
CREATE TABLE redrives (row INTEGER PRIMARY KEY, traceparent TEXT NOT NULL);
"""

# Tells this database from every other one, wherever it is moved to: two daemons may well have
# theirs under the same path.
_IDENTITY: Final = """
ALTER TABLE commits ADD COLUMN identity TEXT NOT NULL DEFAULT '';
UPDATE commits SET identity = lower(hex(randomblob(4)));
"""

MIGRATIONS: Final = (_FIRST, _LAST_ROW, _TIME, _REDRIVES, _IDENTITY)
