"""A queue as configured: everything the layers below the daemon need to know of it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

UNCONFIGURED: Final = "__unconfigured__"
UNNAMED: Final = "__unnamed__"
CANARY: Final = "__canary__"
# Fit for URLs, labels and files alike. 63 is what DNS and Kubernetes allow a name; those with "_"
# in front are the daemon's own.
NAME_PATTERN: Final = "[a-z0-9][a-z0-9._-]{0,62}"

Relation = Literal["hybrid", "link", "parent"]
"""How attempts belong to the trace that an item was handed in by."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """When a failed item is tried again, and when no more.

    The n-th wait is drawn evenly from [floor, min(cap, initial * multiplier ** (n - 1))]. With
    these defaults twenty attempts outlast a five-minute outage. `retry_on` and `give_up_on` are
    statuses or exception type names (see `outcome.Classifier`).
    """

    # With full jitter eight attempts survive an outage of barely a minute; twenty lose nothing in
    # five minutes, and one item in a hundred in half an hour.
    max_attempts: int = 20
    initial_seconds: float = 1.0
    cap_seconds: float = 600.0
    multiplier: float = 2.0
    floor_seconds: float = 0.1
    deadline_seconds: float = 86_400.0
    retry_after_cap_seconds: float = 3_600.0
    # Once is bad luck and twice is worse; the third time the item itself is the likely cause.
    max_lost_leases: int = 3
    retry_on: tuple[int | str, ...] = ()
    give_up_on: tuple[int | str, ...] = ()


class Retention(msgspec.Struct, frozen=True):
    """How long, and how many, ended items are kept before they are purged."""

    succeeded_seconds: float = 3_600.0
    cancelled_seconds: float = 3_600.0
    dead_seconds: float = 1_209_600.0
    items: int = 1_000_000


class Slo(msgspec.Struct, frozen=True):
    """What the queue's users were promised: times, and the share of items they should hold for."""

    wait_seconds: float = 10.0
    end_to_end_seconds: float = 300.0
    objective: float = 0.999


class QueueConfig(msgspec.Struct, frozen=True):
    """A named lane. `slots` is how many attempts run at once in this process.

    `capacity_items` bounds the unfinished items, 0 means unlimited. `handler_type` is a word for
    people; the handler itself is built by the daemon. Of a forwarded `baggage` header only the
    members named by `baggage_keys` are kept, all of them when none is named. `destination` is what
    metrics call the upstream of an `http` handler; None for any other.
    """

    name: str
    handler_type: str = "echo"
    slots: int = 20
    lease_seconds: float = 30.0
    attempt_timeout_seconds: float = 30.0
    retry: RetryPolicy = RetryPolicy()
    capacity_items: int = 1_000_000
    idempotency_seconds: float = 86_400.0
    retention: Retention = Retention()
    forward_headers: tuple[str, ...] = ()
    destination: str | None = None
    baggage_keys: tuple[str, ...] = ()
    trace_relation: Relation = "hybrid"
    slo: Slo = Slo()
