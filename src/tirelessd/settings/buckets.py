"""The bounds of the histograms, each list replaceable."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from tirelessd.core.buckets import Buckets
from tirelessd.settings.kinds import SettingsModel

# Each bound is a series for every queue.
BOUNDS_MAX: Final = 30
DEFAULTS: Final = Buckets()


def growing(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """The bounds, if each is larger than the one before; raises `ValueError`."""
    if list(bounds) != sorted(set(bounds)):
        raise ValueError("must grow from bound to bound")
    return bounds


Bounds = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...],
    Field(strict=False, min_length=1, max_length=BOUNDS_MAX),
    AfterValidator(growing),
]


class BucketsSettings(SettingsModel):
    """The upper bounds of the histograms, each list replaceable.

    Every bound is a series for each queue, or for several things of each.
    """

    http: Bounds = tuple(DEFAULTS.http)
    """Seconds of requests, of callers and to upstreams: those that OpenTelemetry advises."""

    attempt: Bounds = tuple(DEFAULTS.attempt)
    """Seconds of one attempt, up to five minutes."""

    wait: Bounds = tuple(DEFAULTS.wait)
    """Seconds from due to claimed, up to six hours: a backlog is longest when it matters."""

    end_to_end: Bounds = tuple(DEFAULTS.end_to_end)
    """Seconds from acceptance to the end, up to three days, for retries go on for one."""

    store: Bounds = tuple(DEFAULTS.store)
    """Seconds of the store's verbs, from half a millisecond."""

    loop: Bounds = tuple(DEFAULTS.loop)
    """Seconds by which the event loop is late."""

    count: Bounds = tuple(DEFAULTS.count)
    """Attempts of an item; twenty are the default's most."""

    batch: Bounds = tuple(DEFAULTS.batch)
    """Items of a claim, of which there are at most as many as slots."""

    size: Bounds = tuple(DEFAULTS.size)
    """Bytes of a payload, up to four mebibytes."""

    def buckets(self) -> Buckets:
        """The value that the metrics are made with."""
        return Buckets(**dict(self))


class MetricsSettings(SettingsModel):
    """What the metrics look like."""

    buckets: BucketsSettings = BucketsSettings()
    """The upper bounds of the histograms."""
