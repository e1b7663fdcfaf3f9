"""The closed catalogue of log events: every `event` that a line can have, its levels, its meaning.

docs/logs.md is made from it. Names are API, as metrics' names are.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Level = Literal["debug", "info", "warning", "error", "critical"]


class Line(msgspec.Struct, frozen=True):
    """One event of the catalogue; `levels` are those it may be written at."""

    event: str
    levels: tuple[Level, ...]
    meaning: str


ITEM_ACCEPTED: Final = Line("item.accepted", ("debug",), "An item is durable.")
ITEM_HANDED_OFF: Final = Line(
    "item.handed_off", ("debug",), "An accepted item went straight to a free slot."
)
ITEM_CLAIMED: Final = Line("item.claimed", ("debug",), "A slot has a due item from the store.")
ITEM_SUCCEEDED: Final = Line("item.succeeded", ("debug",), "An item ended well.")
ATTEMPT_FAILED: Final = Line(
    "attempt.failed",
    ("info", "warning"),
    "An attempt failed and another one follows; a warning from the third failure on.",
)
ATTEMPT_RELEASED: Final = Line(
    "attempt.released", ("info",), "A drain ended an attempt; it is not counted, its item waits."
)
ITEM_DEAD: Final = Line(
    "item.dead",
    ("error",),
    "An item was given up: why, and what the last attempt was answered. Never sampled.",
)
ITEM_CANCELLED: Final = Line("item.cancelled", ("info",), "A caller cancelled a queued item.")
ITEMS_REDRIVEN: Final = Line("items.redriven", ("info",), "An operator put dead letters back.")
ITEMS_PURGED: Final = Line(
    "items.purged", ("info",), "Dead letters were deleted, by age or by an operator."
)
LEASE_LOST: Final = Line(
    "lease.lost", ("warning",), "A renewal was refused; the attempt is being cancelled."
)
LEASE_RECLAIMED: Final = Line(
    "lease.reclaimed", ("warning",), "An expired lease was taken over: its owner died or hung."
)
LATE_COMPLETION: Final = Line(
    "completion.late",
    ("warning",),
    "A settlement was refused: the item may have been done twice.",
)
HANDLER_STUCK: Final = Line(
    "handler.stuck",
    ("warning",),
    "An attempt is settled, but its handler does not end; its slot is not free.",
)
QUEUE_PAUSED: Final = Line("queue.paused", ("info",), "A queue is paused.")
QUEUE_RESUMED: Final = Line("queue.resumed", ("info",), "A pause ended.")
STORE_FAILED: Final = Line("store.failed", ("error",), "The store stopped working.")
STORE_HEALED: Final = Line("store.healed", ("info",), "The store works again.")
LISTENER_OPENED: Final = Line("listener.opened", ("info",), "A listener takes connections.")
ITEMS_UNCONFIGURED: Final = Line(
    "items.unconfigured",
    ("warning",),
    "The store holds items of queues that are not configured; they are kept and never claimed.",
)
LIFECYCLE_CHANGED: Final = Line(
    "lifecycle.changed", ("info",), "The daemon is starting, running, draining or stopping."
)
CLOCK_DIFFERS: Final = Line(
    "clock.differs",
    ("warning",),
    "The host's clock was set since the last start: the store's time goes on, so many seconds ahead"
    " of it, and comes nearer by three minutes an hour.",
)
HINTS_UNHEARD: Final = Line(
    "hints.unheard",
    ("warning",),
    "The database's notifications do not come through, as behind a transaction pooler: an item that"
    " finds no slot where it was accepted waits for another process to look, up to some seconds;"
    " `store_postgresql.direct_url` leads past a pooler.",
)
START_SLOW: Final = Line(
    "start.slow",
    ("warning",),
    "The start takes long: a disk does not answer, or a handler's module is slow to import.",
)
LOOP_BLOCKED: Final = Line(
    "loop.blocked",
    ("error",),
    "Something holds the event loop up, and nothing else is done meanwhile: `where` is the code"
    " that runs, innermost first.",
)
SIGNAL_IGNORED: Final = Line(
    "signal.ignored",
    ("warning",),
    "A signal came that nothing is done about; settings are read at the start alone.",
)
TASKS_LEFT: Final = Line(
    "tasks.left_behind",
    ("warning",),
    "At the end of the process something would not end with it, and was left behind.",
)
TRACES_LOST: Final = Line(
    "traces.lost",
    ("warning",),
    "Spans could not be exported; said once, until it works again. The metric counts on.",
)
TRACES_KEPT: Final = Line(
    "traces.kept", ("info",), "Spans are exported again; so many were lost meanwhile."
)
ITEM_DRAINED: Final = Line(
    "item.drained",
    ("info", "error"),
    "What became of an item that was leased when the drain began; an error when abandoned.",
)
DRAIN_FINISHED: Final = Line(
    "drain.finished",
    ("info", "error"),
    "The drain is over, with its counts; an error when anything was abandoned.",
)
BACKGROUND_FAILED: Final = Line(
    "background.failed",
    ("warning", "error"),
    "A background task failed and starts again; a warning while the store is what fails.",
)
CANARY_FAILED: Final = Line(
    "canary.failed",
    ("warning",),
    "An item of the daemon's own did not come through in time; `reason` is the stage it came to.",
)
ERROR_UNEXPECTED: Final = Line(
    "error.unexpected", ("error",), "Something raised that no rule foresees: a defect."
)
HANDLER_MESSAGE: Final = Line(
    "handler.message",
    ("debug", "info", "warning", "error", "critical"),
    "What a handler said through `context.logger`; its text is in `message`. Never sampled.",
)
LIBRARY_MESSAGE: Final = Line(
    "library.message",
    ("debug", "info", "warning", "error", "critical"),
    "What other code logged, its text in `message`. Never sampled.",
)
LINES_LOST: Final = Line(
    "lines.lost", ("warning",), "Standard error took no lines for a while; so many are missing."
)

CATALOGUE: Final = tuple(line for line in tuple(globals().values()) if isinstance(line, Line))
