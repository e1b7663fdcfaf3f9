"""The row of the internals' page about intake, canaries, and what telemetry says of itself."""

from grafana.source.dashboards.panels import ANY_IS_BAD, SIX, Model, bars, query, stat, timeseries
from grafana.source.dashboards.promql import (
    counted,
    daemon,
    flow,
    highest,
    quantile,
    total,
)


def in_flight() -> Model:
    """How many callers wait."""
    return timeseries(
        "Submit requests in flight",
        "short",
        "Submit requests that are not answered yet. Healthy: few. Growing: commits are slow; see "
        "the store's operations.",
        query(total(daemon("tirelessd_intake_requests_in_flight"), "instance"), "{{instance}}"),
        size=SIX,
    )


def unhandled() -> Model:
    """Defects."""
    return stat(
        "Defects, 24 h",
        "short",
        "Errors that no rule foresees. Healthy: none. Otherwise the log has `error.unexpected` "
        "with a fingerprint and a traceback; report it.",
        query(counted(daemon("tirelessd_unhandled_exceptions_total"), "24h")),
        size=SIX,
        colours=ANY_IS_BAD,
    )


def log_lines() -> Model:
    """How much is said, and how much is not."""
    return timeseries(
        "Log lines",
        "ops",
        "Lines by level, and those sampled away. Healthy: few above `info`. Many errors: read "
        "them. Many suppressed: one thing happens over and over; the counts have all of it.",
        query(flow(daemon("tirelessd_log_messages_total"), "level"), "{{level}}"),
        query(flow(daemon("tirelessd_log_messages_suppressed_total")), "suppressed"),
        size=SIX,
    )


def lost() -> Model:
    """What telemetry does not show."""
    # The one family without series until something is wrong; its absence is a 0.
    overflow = counted(daemon("tirelessd_metric_label_overflow_total"), "1h")
    return timeseries(
        "Label overflow, lost spans",
        "short",
        "Values outside a label's closed set, and exports of traces that failed, within an hour. "
        "Healthy: none. Overflow is a defect to report; failed exports: see the collector.",
        query(f"{overflow} or {total(daemon('tirelessd_ready'))} * 0", "overflow"),
        query(
            counted(daemon("tirelessd_trace_export_failures_total"), "1h"),
            "failed exports",
        ),
        size=SIX,
    )


def series() -> Model:
    """What a scrape costs Prometheus."""
    return timeseries(
        "Series of each daemon",
        "short",
        "Samples of one scrape. Healthy: flat, some 400 and 250 for each queue. Growing without a "
        "change of configuration is a defect to report.",
        query(highest(daemon("scrape_samples_scraped"), "instance"), "{{instance}}"),
        size=SIX,
    )


def scrapes() -> Model:
    """What a scrape costs the daemon."""
    return timeseries(
        "Duration of scrapes",
        "s",
        "How long Prometheus waited for the metrics. Healthy: below 0.05 s. Slower: fewer queues "
        "in a daemon, or a processor that is throttled.",
        query(highest(daemon("scrape_duration_seconds"), "instance"), "{{instance}}"),
        size=SIX,
    )


def canary_failures() -> Model:
    """Where canaries fail."""
    return bars(
        "Canaries that failed",
        "short",
        "By the stage that they failed at. Healthy: none. `intake`: the store; `claim`: slots or "
        "the store; `deliver`: the event loop or the daemon itself.",
        query(
            counted(daemon("tirelessd_canary_failures_total"), "$__rate_interval", "stage"),
            "{{stage}}",
        ),
        size=SIX,
    )


def canary_trip() -> Model:
    """How long a canary takes."""
    trip = daemon("tirelessd_canary_round_trip_seconds_count")
    return timeseries(
        "Round trip of the canary",
        "s",
        "From its acceptance to its end; 0 while there is none. Healthy: below a second. Slower "
        "with idle slots: the store, or the event loop.",
        query(quantile(0.5, trip), "p50"),
        query(quantile(0.99, trip), "p99"),
        size=SIX,
    )
