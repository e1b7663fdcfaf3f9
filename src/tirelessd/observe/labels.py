"""Every value that a metric's label may have: closed sets, taken from the core where it has them.

The one label that names something of a user's is `queue`: configured queues only, and everything
else under one word. So no request, item or upstream can make a series.
"""

from __future__ import annotations

from typing import Final, get_args

from tirelessd.core.errors import StoreErrorKind
from tirelessd.core.events import (
    CanaryStage,
    DrainResult,
    IntakeResult,
    LifecycleState,
    PurgeSource,
)
from tirelessd.core.item import ShownState
from tirelessd.core.outcome import DeadReason, Outcome, Reason
from tirelessd.core.queue import QueueConfig

OVERFLOW: Final = "__overflow__"
NO_REASON: Final = "none"

INTAKE_RESULTS: Final[tuple[str, ...]] = get_args(IntakeResult)
INTAKE_CLASSES: Final = ("ok", "client_error", "server_error")
CANARY_STAGES: Final[tuple[str, ...]] = get_args(CanaryStage)
LIFECYCLE_STATES: Final[tuple[str, ...]] = get_args(LifecycleState)
DRAIN_RESULTS: Final[tuple[str, ...]] = get_args(DrainResult)
PURGE_SOURCES: Final[tuple[str, ...]] = get_args(PurgeSource)
STORE_ERROR_KINDS: Final[tuple[str, ...]] = get_args(StoreErrorKind)
# Behind a network only: a file has no connection to lose, and one writer.
NETWORK_ERROR_KINDS: Final = ("connection", "serialization")
DEAD_REASONS: Final = tuple(DeadReason)
LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

# What ended well is purged by age and counted when it ends; what is left is somebody's business.
QUEUE_STATES: Final = tuple(
    state for state in ShownState if state not in (ShownState.SUCCEEDED, ShownState.CANCELLED)
)

UPSTREAM_CLASSES: Final = ("2xx", "3xx", "4xx", "429", "5xx", "none")
WAIT_PHASES: Final = ("first", "retry")
CLAIM_RESULTS: Final = ("hit", "empty", "error")
THROTTLE_SOURCES: Final = ("retry_after",)

# The store's verbs by the operation they count as: those on an item's path by themselves, reads as
# one, and so for what only upkeep and operators do.
STORE_VERBS: Final = {
    **{verb: verb for verb in ("enqueue", "claim", "renew", "settle", "release", "reclaim")},
    **{verb: verb for verb in ("redrive", "cancel", "purge", "snapshot")},
    **dict.fromkeys(("get", "payload", "result", "list_items", "list_dead"), "read"),
    **dict.fromkeys(("list", "leases", "find_keys", "find_old", "pauses", "identity"), "read"),
    **dict.fromkeys(("expire", "pause", "resume", "probe", "announce", "listen"), "other"),
    "delete_dead": "purge",
}
STORE_OPERATIONS: Final = tuple(dict.fromkeys(STORE_VERBS.values()))

# The first words of the names of supervised tasks: those that do rounds, and those that go on.
BACKGROUND_ROUNDS: Final = ("reclaim", "sweep", "expire", "purge", "snapshot", "probe", "pauses")
CANARY_ROUND: Final = "canary"
BACKGROUND_LOOPS: Final = ("slot", "claim", "renew", "hints")

POOL_STATES: Final = ("used", "idle")
# Of the supervised ones, by the first word of their name; what is not listed is a background loop.
TASK_KINDS: Final = ("loop", "slot", "attempt", "request", "other")


def attempt_pairs() -> tuple[tuple[Outcome, str], ...]:
    """The outcomes an attempt may have, each with the reasons that can go with it.

    Any failure may be retried (configuration may say so) except `permanent`; any may be the last
    one; only a drain releases, and it never fails anything.
    """
    failures = [reason for reason in Reason if reason is not Reason.DRAIN]
    return (
        (Outcome.SUCCESS, NO_REASON),
        *((Outcome.RETRY, reason) for reason in failures if reason is not Reason.PERMANENT),
        *((Outcome.GIVE_UP, reason) for reason in failures),
        (Outcome.RELEASED, Reason.DRAIN),
    )


ATTEMPT_PAIRS: Final = attempt_pairs()


def legal_pairs(queue: QueueConfig | None) -> tuple[tuple[Outcome, str], ...]:
    """Those that can be under the queue's configuration; all, where it has none any more.

    A redirect is given up on unless somebody wants it retried.
    """
    policy = queue.retry.retry_on if queue is not None else ("",)
    if any(isinstance(each, str) or 300 <= each <= 399 for each in policy):
        return ATTEMPT_PAIRS
    return tuple(pair for pair in ATTEMPT_PAIRS if pair != (Outcome.RETRY, Reason.HTTP_3XX))


# How long a released attempt ran was decided by the drain, and says nothing about the work.
TIMED_OUTCOMES: Final = (Outcome.SUCCESS, Outcome.RETRY, Outcome.GIVE_UP)

# Who ends an item, and how: (outcome, took more than one attempt).
ENDINGS: Final = ("succeeded", "dead", "cancelled")
DELIVERY_ENDINGS: Final = ("succeeded", "dead")
RETRIED: Final = ("false", "true")
