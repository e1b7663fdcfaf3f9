"""The knobs of one queue: what attempts its items, how many at once, when again, when no more."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator

from tirelessd.core.headers import baggage_key, forwarded_header_name, free_header_name
from tirelessd.core.queue import UNNAMED, QueueConfig, Retention, RetryPolicy, Slo
from tirelessd.settings.buckets import BucketsSettings
from tirelessd.settings.kinds import (
    HttpUrl,
    Seconds,
    SecretText,
    SettingsModel,
    error_name,
    function_path,
    header_value,
    label,
)
from tirelessd.settings.problems import Problem

# They are stored with every item, so a handful is meant, not a copy of the request.
FORWARDED_MAX = 32
ErrorName = Annotated[int | str, PlainValidator(error_name)]


class HandlerSettings(SettingsModel):
    """What every handler has."""

    type: Literal["http", "python", "echo"]
    """What kind it is."""

    attempt_timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    """How long one attempt may take; an item's deadline may cut it shorter. Half a minute is more
    than most answers take, and frees a slot from a hanging upstream before its callers give up."""

    forward_headers: Annotated[
        tuple[Annotated[str, AfterValidator(forwarded_header_name)], ...],
        Field(strict=False, max_length=FORWARDED_MAX),
    ] = ()
    """Names of request headers that are stored with an item and given to its handler. None by
    default: what a caller sends reaches an upstream only where somebody allowed it."""

    forward_baggage: Annotated[
        tuple[Annotated[str, AfterValidator(baggage_key)], ...],
        Field(strict=False, max_length=FORWARDED_MAX),
    ] = ()
    """Keys of members of the W3C `baggage` header that are stored with an item and given to its
    handler. None by default: baggage crosses many services, and may hold what is not for all."""

    @property
    def called(self) -> str | None:
        """What metrics call the handler's upstream; None for a handler without one."""
        return None

    @property
    def passed_headers(self) -> tuple[str, ...]:
        """The names of all headers that are passed on."""
        return (*self.forward_headers, "baggage") if self.forward_baggage else self.forward_headers


class HttpHandlerSettings(HandlerSettings):
    """POSTs the payload to one URL; 2xx is success."""

    type: Literal["http"]
    """The handler that POSTs to an upstream."""

    url: HttpUrl
    """Where to: an absolute http or https URL without credentials. No default can be right."""

    destination: Annotated[str, AfterValidator(label)] | None = None
    """What metrics call this upstream; queues that share one should agree on it. None by default:
    all upstreams without a name are counted together, for a series that nobody asked for costs
    every scrape. Fifty names are shown apart."""

    headers: Annotated[
        dict[
            Annotated[str, AfterValidator(free_header_name)],
            Annotated[SecretText, AfterValidator(header_value)],
        ],
        Field(max_length=FORWARDED_MAX),
    ] = Field(default_factory=dict)
    """Headers sent with every attempt, such as `authorization`. Each value is a secret: it is never
    shown, and may be given as `{file: /path}`."""

    connect_timeout_seconds: Annotated[float, Field(gt=0, le=3_600)] = 5.0
    """How long connecting may take, TLS included. A host that answers at all does so within a
    second or two; five leave room for one lost packet."""

    read_timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    """How long the upstream may send nothing. None by default: that is the attempt timeout's
    business, unless silence should be noticed earlier."""

    keepalive_seconds: Annotated[float, Field(ge=0, le=3_600)] = 15.0
    """How long an idle connection is kept; 0 means one request each. Shorter than the shortest idle
    timeout of common servers, so that a kept connection is rarely one that was just closed."""

    ca_file: Annotated[str, Field(min_length=1)] | None = None
    """A PEM file of the authorities to trust instead of the system's, for a certificate of one's
    own. None by default: an upstream shows a certificate that the system trusts."""

    response_bytes: Annotated[int, Field(ge=0, le=16_777_216)] = 65_536
    """How much of a response is read and kept as the result. 64 KiB hold any prediction or error
    page; an endless answer must not fill the memory or the store."""

    @property
    def called(self) -> str:
        """What metrics call the upstream."""
        return self.destination or UNNAMED


class PythonHandlerSettings(HandlerSettings):
    """Calls a function of an importable module."""

    type: Literal["python"]
    """The handler that calls a Python function, `async def` or plain."""

    function: Annotated[str, AfterValidator(function_path)]
    """Which one: `package.module:function`, found through the Python path."""


class EchoHandlerSettings(HandlerSettings):
    """Succeeds at once with the payload as its result; for trying things and for benchmarks."""

    type: Literal["echo"]
    """The handler that answers what it was given."""


# The word in `type` says which settings there are, so a typo is told about the right ones.
Handler = Annotated[
    HttpHandlerSettings | PythonHandlerSettings | EchoHandlerSettings, Field(discriminator="type")
]


class RetrySettings(SettingsModel):
    """When a failed item is tried again, and when no more."""

    max_attempts: Annotated[int, Field(ge=1, le=10_000)] = 20
    """How many attempts an item gets, the first included. With full jitter and a cap of ten minutes
    twenty outlast a five-minute outage; eight outlast barely one minute."""

    floor_seconds: Seconds = 0.1
    """The shortest wait that can be drawn. Full jitter may draw almost nothing; a tenth of a second
    keeps an unlucky item from spending its attempts in one burst."""

    initial_seconds: Seconds = 1.0
    """The longest wait before the second attempt; it grows from here. Most failures are blips that
    a second heals."""

    multiplier: Annotated[float, Field(ge=1, le=100)] = 2.0
    """How fast the bound on the wait grows. Doubling is what every client of a service expects."""

    cap_seconds: Seconds = 600.0
    """Where the bound stops growing. After a long outage an item comes back within ten minutes."""

    deadline_seconds: Seconds = 86_400.0
    """How old a generation may become, from its first due time; a caller's `Tirelessd-Deadline`
    replaces it. Work that could not be done in a day is better looked at than tried on."""

    retry_after_cap_seconds: Annotated[float, Field(ge=0, le=604_800)] = 3_600.0
    """The most that an upstream's `Retry-After` may ask for. An hour is polite; a mistaken date a
    year ahead must not bury an item."""

    max_lost_leases: Annotated[int, Field(ge=1, le=1_000)] = 3
    """How many leases an item may lose in a generation. Losing one is bad luck; after three the
    item itself is the likely cause of the crashes."""

    retry_on: Annotated[tuple[ErrorName, ...], Field(strict=False, max_length=100)] = ()
    """Statuses (404) and exception types (`TimeoutError`, `shop.errors.Busy`) to retry although the
    defaults give up; what timed out is a `TimeoutError`, what found no connection a
    `ConnectionError`. 408, 425, 429, 5xx, network errors, timeouts and exceptions are retried
    anyway."""

    give_up_on: Annotated[tuple[ErrorName, ...], Field(strict=False, max_length=100)] = ()
    """Statuses and exception types to give up on at once, also when `retry_on` names them. Other
    4xx and 3xx are given up on anyway."""


class RetentionSettings(SettingsModel):
    """How long, and how many, ended items are kept."""

    succeeded_seconds: Seconds = 3_600.0
    """How long a succeeded item and its result can be read. An hour is enough to fetch a result."""

    cancelled_seconds: Seconds = 3_600.0
    """How long a cancelled item can be read; as long as a succeeded one."""

    dead_seconds: Seconds = 1_209_600.0
    """How long a dead letter waits for somebody. Two weeks outlast a holiday."""

    items: Annotated[int, Field(ge=0, le=1_000_000_000)] = 1_000_000
    """How many ended items are kept at the most, whatever their age; the oldest go first. A million
    is about a gigabyte of small items."""


class SloSettings(SettingsModel):
    """What the queue's users were promised; for the SLO metrics, nothing else acts on it.

    Both times must lie within the bounds of their histograms, `metrics.buckets`.
    """

    wait_seconds: Seconds = 10.0
    """A due item should have a slot within this time. Ten seconds are short for a batch and long
    enough for a full pool to turn over."""

    end_to_end_seconds: Seconds = 300.0
    """An item should have ended within this time of its acceptance, a delay that its caller asked
    for included. Five minutes have room for a handful of retries."""

    objective: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """The share of items for which each should hold, and that should succeed. One in a thousand
    may miss: less is hard to tell from chance on a queue of ordinary size."""


class QueueSettings(SettingsModel):
    """One named lane."""

    handler: Handler
    """What attempts the items: its `type` is `http`, `python` or `echo`."""

    slots: Annotated[int, Field(ge=1, le=10_000)] = 20
    """How many attempts run at once in this process. Twenty keep a small model server busy without
    drowning it."""

    lease_seconds: Annotated[float, Field(ge=1, le=3_600)] = 30.0
    """How long a lease lasts without renewal, which happens every third of it; independent of the
    attempt timeout. A process that has been silent for half a minute is dead."""

    retry: RetrySettings = RetrySettings()
    """When a failed item is tried again, and when no more."""

    capacity_items: Annotated[int, Field(ge=0, le=1_000_000_000)] = 1_000_000
    """How many unfinished items the queue holds before it answers 503; 0 means unlimited. A million
    is the backlog that the embedded store is measured with. Daemons that share a store count anew
    every few seconds, and may accept so much more in between."""

    idempotency_seconds: Seconds = 86_400.0
    """How long an `Idempotency-Key` is remembered after acceptance. A day covers a caller that
    retries over night."""

    retention: RetentionSettings = RetentionSettings()
    """How long, and how many, ended items are kept."""

    slo: SloSettings = SloSettings()
    """What the queue's users were promised. A queue without a word on it is held to the defaults,
    so that its alerts work from the first day."""

    trace_relation: Literal["hybrid", "link", "parent"] = "hybrid"
    """How attempts belong to the trace in which their item was handed in. With `hybrid` the first
    one is a child, if it starts within `tracing.horizon_seconds`, and every other begins a trace of
    its own that is linked: a retry hours later must not stretch the first trace. `link` and
    `parent` are one or the other, always."""

    def config(self, name: str) -> QueueConfig:
        """The value that the layers below know the queue by."""
        return QueueConfig(
            name=name,
            handler_type=self.handler.type,
            slots=self.slots,
            lease_seconds=self.lease_seconds,
            attempt_timeout_seconds=self.handler.attempt_timeout_seconds,
            retry=RetryPolicy(**dict(self.retry)),
            capacity_items=self.capacity_items,
            idempotency_seconds=self.idempotency_seconds,
            retention=Retention(**dict(self.retention)),
            forward_headers=self.handler.passed_headers,
            baggage_keys=self.handler.forward_baggage,
            trace_relation=self.trace_relation,
            destination=self.handler.called,
            slo=Slo(**dict(self.slo)),
        )

    def contradictions(self, path: str, buckets: BucketsSettings) -> Iterator[Problem]:
        """What is wrong only in combination; `path` is where the queue stands."""
        yield from _retry_contradictions(self.retry, f"{path}.retry")
        if self.handler.forward_baggage and "baggage" in self.handler.forward_headers:
            message = "must not come with baggage in forward_headers, which forwards all of it"
            yield Problem(f"{path}.handler.forward_baggage", message)
        yield from _slo_contradictions(self.slo, f"{path}.slo", buckets)


def _slo_contradictions(slo: SloSettings, path: str, buckets: BucketsSettings) -> Iterator[Problem]:
    if slo.wait_seconds > slo.end_to_end_seconds:
        message = "must not be less than wait_seconds: an item waits before it ends"
        yield Problem(f"{path}.end_to_end_seconds", message)
    for name, bounds in (("wait", buckets.wait), ("end_to_end", buckets.end_to_end)):
        target = getattr(slo, f"{name}_seconds")
        # Beyond the last bound, and below the first, no quantile tells where the target stands.
        if not bounds[0] <= target <= bounds[-1]:
            message = (
                f"must lie within metrics.buckets.{name}, from {bounds[0]:g} to {bounds[-1]:g}"
            )
            yield Problem(f"{path}.{name}_seconds", f"{message} (got {target:g})")


def _retry_contradictions(retry: RetrySettings, path: str) -> Iterator[Problem]:
    # Otherwise a wait would be drawn from an empty range, or jitter would vanish at the cap.
    rising = ("floor_seconds", "initial_seconds", "cap_seconds")
    for lower, upper in pairwise(rising):
        least, value = getattr(retry, lower), getattr(retry, upper)
        if value < least:
            message = f"must be at least {lower}, which is {least:g} (got {value:g})"
            yield Problem(f"{path}.{upper}", message)
    # The first wait, however short it is drawn, would end past the deadline.
    if retry.deadline_seconds <= retry.floor_seconds:
        message = "must be more than floor_seconds, or nothing is ever tried again"
        yield Problem(f"{path}.deadline_seconds", f"{message} (got {retry.deadline_seconds:g})")
