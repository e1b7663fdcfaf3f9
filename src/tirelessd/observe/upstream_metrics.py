"""Requests to upstreams, by the name that configuration gives each; never by an address.

Fifty names are told apart. Further ones count together, and each of their requests counts as an
overflow, so that somebody learns of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tirelessd.core.buckets import Buckets
from tirelessd.core.events import UpstreamConnected, UpstreamRequestFinished
from tirelessd.observe.dispatch import Table
from tirelessd.observe.journal import Journal
from tirelessd.observe.labels import OVERFLOW, UPSTREAM_CLASSES
from tirelessd.observe.registrar import Registrar, TellOverflow
from tirelessd.observe.tallies import Tally

DESTINATIONS_MAX: Final = 50


class UpstreamFamilies:
    """The other side, as the http handler meets it."""

    def __init__(self, make: Registrar, buckets: Buckets) -> None:
        self.requests = make.counter(
            "tirelessd_upstream_requests_total",
            "Requests to upstreams by class of the answer; `none` where none came in time.",
            *("destination", "code_class"),
        )
        self.duration = make.histogram(
            "tirelessd_upstream_request_duration_seconds",
            "Duration of requests to upstreams, from looking for a connection to the body's end.",
            buckets.http,
            "destination",
        )
        self.connection_wait = make.histogram(
            "tirelessd_upstream_connection_wait_seconds",
            "How long a request looked for a connection: name, address and TLS, if it was new.",
            buckets.http,
        )
        self.connections = make.gauge(
            "tirelessd_upstream_connections",
            "Connections to upstreams: in use or being made, and kept for later.",
            "state",
        )
        self.acquisitions = make.counter(
            "tirelessd_upstream_connection_acquisitions_total",
            "Connections that requests got, and whether they were kept ones.",
            "reused",
        )


class Destination:
    """What requests to one of them add to."""

    def __init__(self, families: UpstreamFamilies, name: str) -> None:
        self.requests: dict[str, Tally] = {
            code_class: families.requests.labels(name, code_class)
            for code_class in UPSTREAM_CLASSES
        }
        self.duration = families.duration.labels(name)


class UpstreamMetrics:
    """Counts requests to upstreams, and reads their connections."""

    def __init__(
        self,
        families: UpstreamFamilies,
        destinations: Sequence[str],
        journal: Journal,
        tell: TellOverflow,
    ) -> None:
        self._journal = journal
        self._tell = tell
        shown = list(dict.fromkeys(destinations))
        # There from the start, like all others, where it is known that they will be needed.
        names = shown[:DESTINATIONS_MAX] + [OVERFLOW][: len(shown) > DESTINATIONS_MAX]
        self._destinations = {name: Destination(families, name) for name in names}
        self._families = families
        self._wait = families.connection_wait.labels()
        self._new = families.acquisitions.labels("false")
        self._reused = families.acquisitions.labels("true")
        self._active = families.connections.labels("active")
        self._idle = families.connections.labels("idle")

    def table(self) -> Table:
        """Which method sees which event."""
        return {
            UpstreamConnected: self._journal.page(self._connected),
            UpstreamRequestFinished: self._journal.page(self._requests_finished),
        }

    def _connected(self, events: Sequence[UpstreamConnected]) -> None:
        self._wait.observe_all([event.waited_seconds for event in events])
        reused = sum([event.is_reused for event in events])
        self._reused.inc(reused)
        self._new.inc(len(events) - reused)

    def _requests_finished(self, events: Sequence[UpstreamRequestFinished]) -> None:
        for event in events:
            destination = self._destinations.get(event.destination) or self._overflown()
            destination.requests[code_class(event.status)].inc()
            destination.duration.observe(event.duration_seconds)

    def _overflown(self) -> Destination:
        self._tell("tirelessd_upstream_requests", "destination")
        if OVERFLOW not in self._destinations:
            self._destinations[OVERFLOW] = Destination(self._families, OVERFLOW)
        return self._destinations[OVERFLOW]

    def see(self, connections: Sequence[tuple[int, int]]) -> None:
        """Take over how many each handler uses and keeps."""
        self._active.set(sum(active for active, _ in connections))
        self._idle.set(sum(idle for _, idle in connections))


def code_class(status: int | None) -> str:
    """The class that a status counts as; what HTTP does not know is no answer."""
    if status == 429:
        return "429"
    word = f"{status // 100}xx" if status is not None else "none"
    return word if word in UPSTREAM_CLASSES else "none"
