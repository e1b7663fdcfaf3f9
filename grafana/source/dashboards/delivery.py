"""The page of the other side: the destinations that HTTP handlers call."""

from grafana.source.dashboards import slis
from grafana.source.dashboards.board import board, row, variable
from grafana.source.dashboards.panels import WIDE, Model, query, table, timeseries
from grafana.source.dashboards.promql import (
    counted,
    daemon,
    flow,
    increase,
    quantile,
    ratio,
    total,
)

REQUESTS = "tirelessd_upstream_requests_total"
DURATION = "tirelessd_upstream_request_duration_seconds_count"
CONNECTION_WAIT = "tirelessd_upstream_connection_wait_seconds_count"
OF_DESTINATION = 'destination=~"$destination"'
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def page() -> Model:
    """First who fails, then how the connections do."""
    return board(
        "tirelessd-delivery",
        "Delivery",
        "Which destination fails or is slow, and whether it is them or the way to them.",
        row("Destinations", destinations()),
        row("Answers", answers(), latency(), quality(), refusals()),
        row("Connections", connection_wait(), connections(), reuse()),
        more=[variable("destination", daemon(REQUESTS))],
    )


def called(name: str, *matchers: str) -> str:
    """The series of a name, of the destinations that are picked."""
    return daemon(name, OF_DESTINATION, *matchers)


def good_share(window: str) -> str:
    """The share of each destination's requests that were answered with success."""
    good, every = (
        total(increase(called(REQUESTS, *which), window), "destination")
        for which in (['code_class="2xx"'], [])
    )
    # A destination that never succeeded has its series, too: they are there from the start.
    return ratio(good, every, idle=1)


def destinations() -> Model:
    """All of them at a glance."""
    return table(
        "Destinations",
        "Each destination's last hour. Healthy: nearly all good, p95 as ever. Nothing good at all: "
        "it is down; tell its owner and pause the queue before items run out of attempts.",
        ("Good, 1 h", "percentunit", good_share("1h")),
        (
            "Requests, 1 h",
            "short",
            counted(called(REQUESTS), "1h", "destination"),
        ),
        ("p95", "s", quantile(0.95, called(DURATION), "destination")),
        (
            "Asked to wait, 1 h",
            "short",
            counted(called(REQUESTS, 'code_class="429"'), "1h", "destination"),
        ),
        sort_by="Requests, 1 h",
    )


def answers() -> Model:
    """What they answer."""
    return timeseries(
        "Requests by answer",
        "reqps",
        "Requests sent, by destination and class of the answer; `none` is no answer at all. "
        "Healthy: 2xx. `5xx` and `none` are theirs to mend, 4xx mostly yours.",
        query(
            flow(called(REQUESTS), "destination", "code_class"), "{{destination}} {{code_class}}"
        ),
        size=WIDE,
        is_stacked=True,
    )


def latency() -> Model:
    """How long they take."""
    return timeseries(
        "Latency by destination",
        "s",
        "How long requests took, the connection included; 0 while none is sent. Healthy: as ever. "
        "p99 at the time limit: the destination hangs.",
        *(
            query(
                quantile(share, called(DURATION), "destination"),
                f"{{{{destination}}}} {name}",
            )
            for name, share in SHARES.items()
        ),
        size=WIDE,
    )


def quality() -> Model:
    """What retries make of it."""
    return timeseries(
        "Success, as it is and as it ends",
        "percentunit",
        "The share of requests that each destination answered with success, and the share of items "
        "of the queues that were delivered in the end. Healthy: both near 1. The gap between them "
        "is what retries save; while it grows, tell the destination's owner.",
        query(good_share("30m"), "{{destination}}, as it is"),
        query(slis.success("30m"), "items, in the end"),
        size=WIDE,
    )


def refusals() -> Model:
    """How often they want less."""
    asked = total(increase(called(REQUESTS, 'code_class="429"'), "30m"), "destination")
    every = total(increase(called(REQUESTS), "30m"), "destination")
    return timeseries(
        "Asked to slow down",
        "percentunit",
        "The share of requests answered with 429, over half an hour. Healthy: 0. Above a fifth: "
        "send less at once; fewer slots, or a limit agreed on.",
        query(ratio(asked, every), "{{destination}}"),
        size=WIDE,
    )


def connection_wait() -> Model:
    """The wait that is ours, not theirs."""
    return timeseries(
        "Wait for a connection, p99",
        "s",
        "How long requests waited for a connection, new or kept: our queueing, not their slowness. "
        "Healthy: near 0. Otherwise the pool is too small, or connecting is slow.",
        query(quantile(0.99, daemon(CONNECTION_WAIT)), "p99"),
    )


def connections() -> Model:
    """How many are open."""
    return timeseries(
        "Connections",
        "short",
        "Open connections: `active` ones carry a request now, which is how much is in flight. "
        "Healthy: fewer than slots. Idle ones that never go: look at keep-alive.",
        query(total(daemon("tirelessd_upstream_connections"), "state"), "{{state}}"),
        is_stacked=True,
    )


def reuse() -> Model:
    """Whether connecting is the exception."""
    name = "tirelessd_upstream_connection_acquisitions_total"
    kept = total(increase(daemon(name, 'reused="true"'), "30m"))
    return timeseries(
        "Kept connections",
        "percentunit",
        "The share of requests that found a connection open, over half an hour. Healthy: above 0.9 "
        "under load. Lower: the other side closes early; requests pay for connecting.",
        query(ratio(kept, total(increase(daemon(name), "30m")), idle=1), "kept"),
    )
