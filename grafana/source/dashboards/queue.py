"""The page of one queue: from what comes in to what becomes of it."""

from grafana.source.dashboards import slis
from grafana.source.dashboards.board import QUEUE_PAGE, board, row, to_traces
from grafana.source.dashboards.panels import (
    Model,
    bars,
    query,
    target_line,
    timeseries,
)
from grafana.source.dashboards.promql import (
    counted,
    flow,
    highest,
    increase,
    lowest,
    quantile,
    queue,
    ratio,
    stored,
    total,
)
from grafana.source.dashboards.special import distribution, heatmap, logs

COMPLETED = "tirelessd_items_completed_total"
WAIT = "tirelessd_item_wait_seconds"
ATTEMPT = "tirelessd_attempt_duration_seconds"
END = "tirelessd_item_end_to_end_seconds"
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def page() -> Model:
    """Every row stands once for each queue that is picked."""
    return board(
        QUEUE_PAGE,
        "Queue",
        "One queue from intake to the end of its items: where they wait, fail and die.",
        each("Flow", throughput(), growth(), sizes()),
        each("Wait", waits(), wait_quantiles(), ages()),
        each(
            "Work", durations(), duration_quantiles(), running(), claims(), claim_sizes(), leases()
        ),
        each("Retry", retries(), amplification(), tries(), saved(), throttled()),
        each("Dead letters", dead(), oldest_dead(), handled_dead(), dead_lines()),
        each("End to end", deliveries(), delivery_quantiles(), last_progress()),
    )


def each(title: str, *panels: Model) -> Model:
    """A row for each queue."""
    return row(f"$queue: {title}", *panels, repeat="queue")


def throughput() -> Model:
    """What comes and what goes."""
    ends = flow(queue(COMPLETED), "outcome")
    return timeseries(
        "In and out",
        "ops",
        "Items accepted, and items that ended. Healthy: both lines together, no red. Out below in "
        "for long: see slots and attempts.",
        query(flow(queue("tirelessd_items_accepted_total")), "accepted"),
        query(ends, "{{outcome}}"),
    )


def growth() -> Model:
    """Whether the queue keeps up."""
    taken = flow(queue("tirelessd_items_accepted_total"))
    back = flow(queue("tirelessd_dead_items_redriven_total"))
    return timeseries(
        "Net growth",
        "ops",
        "Items accepted or redriven, less items that ended. Healthy: around 0. Above 0 for long: "
        "the queue does not keep up; add slots or pods.",
        query(f"{taken} + {back} - {flow(queue(COMPLETED))}", "growth"),
        axisCenteredZero=True,
    )


def sizes() -> Model:
    """How large payloads are."""
    return timeseries(
        "Payload size",
        "bytes",
        "Size of accepted payloads; 0 while none comes. Healthy: as ever. A jump explains slower "
        "commits and attempts; ask who sends them.",
        *(
            query(quantile(share, queue("tirelessd_item_size_bytes_count")), name)
            for name, share in SHARES.items()
        ),
    )


def waits() -> Model:
    """How long each attempt waited for its slot."""
    return heatmap(
        "Wait of attempts",
        "s",
        "From due to claimed, for each attempt; backoff is not in it. Healthy: dark at the bottom. "
        "Dark cells that rise: too few slots.",
        total(increase(queue(f"{WAIT}_bucket"), "$__rate_interval"), "le"),
    )


def wait_quantiles() -> Model:
    """First attempts and retries side by side."""
    return timeseries(
        "Wait, first attempts and retries",
        "s",
        "From due to claimed; 0 while nothing is claimed. Healthy: p99 below the dashed line. "
        "Retries slower than first attempts: many come due together; spread their backoff.",
        query(quantile(0.5, queue(f"{WAIT}_count"), "phase"), "{{phase}} p50"),
        query(quantile(0.99, queue(f"{WAIT}_count"), "phase"), "{{phase}} p99", exemplar=True),
        target_line(slis.target("wait")),
        link=to_traces("$queue"),
    )


def ages() -> Model:
    """What still waits, which no histogram of ends can tell."""
    return timeseries(
        "Age of what waits",
        "s",
        "How long the longest-due item has been due, and how long ago the oldest unfinished item "
        "was accepted. Healthy: the former below the dashed line. The latter alone high: an item "
        "goes from retry to retry.",
        query(highest(queue("tirelessd_queue_ready_age_seconds")), "due"),
        query(highest(queue("tirelessd_queue_item_age_seconds", 'state!="dead"')), "accepted"),
        target_line(slis.target("wait")),
    )


def durations() -> Model:
    """How long attempts take."""
    return heatmap(
        "Duration of attempts",
        "s",
        "How long attempts took, whatever their outcome. Healthy: dark at the bottom. A band at "
        "the time limit: the other side hangs.",
        total(increase(queue(f"{ATTEMPT}_bucket"), "$__rate_interval"), "le"),
    )


def duration_quantiles() -> Model:
    """Good and bad attempts side by side."""
    return timeseries(
        "Attempt duration by outcome, p95",
        "s",
        "How long attempts took, by how they ended; 0 while none did. Healthy: far below the "
        "dashed line, the time limit. `retry` at the limit: time-outs.",
        query(quantile(0.95, queue(f"{ATTEMPT}_count"), "outcome"), "{{outcome}}", exemplar=True),
        target_line(lowest(queue("tirelessd_attempt_timeout_seconds"))),
        link=to_traces("$queue"),
    )


def running() -> Model:
    """What runs now, which no histogram of ends can tell."""
    return timeseries(
        "Attempts that run",
        "s",
        "How long the longest attempt has run, and all together. Healthy: the longest below the "
        "dashed line, the time limit. Above it: a handler that does not end; restart its daemon.",
        query(highest(queue("tirelessd_attempt_longest_running_seconds")), "longest"),
        query(total(queue("tirelessd_attempts_unfinished_seconds")), "all together"),
        target_line(lowest(queue("tirelessd_attempt_timeout_seconds"))),
    )


def claims() -> Model:
    """What the store answers to those who ask for work."""
    return timeseries(
        "Claims by answer",
        "ops",
        "How often slots asked the store for work. Healthy: `hit` under load, some `empty` when "
        "idle, no `error`. Errors: see the store on the page of internals.",
        query(flow(queue("tirelessd_claims_total"), "result"), "{{result}}"),
    )


def claim_sizes() -> Model:
    """How many items a claim brings."""
    return timeseries(
        "Items per claim",
        "short",
        "Items that one claim brought, of those that brought any; 0 while none did. Healthy: more "
        "under load. Always 1 under load: claims are more frequent than they need be.",
        *(
            query(quantile(share, queue("tirelessd_claim_batch_items_count")), name)
            for name, share in SHARES.items()
        ),
    )


def leases() -> Model:
    """Leases that did not hold."""
    names = {
        "expired": "tirelessd_leases_expired_total",
        "renewal refused": "tirelessd_lease_renewal_failures_total",
        "late completion": "tirelessd_late_completions_total",
    }
    return bars(
        "Leases lost",
        "short",
        "Leases that expired or were refused, and settlements that came too late: each may be work "
        "done twice. Healthy: none. Otherwise look for daemons that were killed or hung.",
        *(
            query(counted(queue(name), "$__rate_interval"), legend)
            for legend, name in names.items()
        ),
    )


def retries() -> Model:
    """Why attempts fail."""
    return timeseries(
        "Retries by reason",
        "ops",
        "Attempts that failed and are to be tried again. Healthy: few. `http_5xx`, `timeout` and "
        "`connect` are the other side's; `http_4xx` and `handler` are yours to mend.",
        query(
            flow(queue("tirelessd_attempts_total", 'outcome="retry"'), "reason"),
            "{{reason}}",
        ),
        is_stacked=True,
    )


def amplification() -> Model:
    """How much more work retries make."""
    tried = total(increase(queue("tirelessd_attempts_total", 'outcome!="released"'), "30m"))
    ended = total(increase(queue(COMPLETED, 'outcome=~"succeeded|dead"'), "30m"))
    return timeseries(
        "Attempts per item",
        "short",
        "Attempts for each item that ended, over half an hour; 1 while nothing ends. Healthy: near "
        "1. Above 2: retries are most of the load; slow them down or pause the queue.",
        query(ratio(tried, ended, idle=1), "attempts per item"),
    )


def tries() -> Model:
    """How many attempts it takes."""
    return distribution(
        "Attempts to success",
        "short",
        "Items that succeeded, by how many attempts they took. Healthy: nearly all took one. A "
        "long tail: failures last longer than the first backoffs.",
        total(
            increase(queue("tirelessd_item_attempts_bucket", 'outcome="succeeded"'), "$__range"),
            "le",
        ),
    )


def saved() -> Model:
    """What retries are good for."""
    late = increase(queue(COMPLETED, 'outcome="succeeded"', 'retried="true"'), "30m")
    all_ = increase(queue(COMPLETED, 'outcome="succeeded"'), "30m")
    return timeseries(
        "Saved by a retry",
        "percentunit",
        "Of the items that succeeded, those that took more than one attempt, over half an hour. "
        "Healthy: low. High: without retries this much would have been lost; tell the other side.",
        query(ratio(total(late), total(all_)), "saved"),
    )


def throttled() -> Model:
    """What the other side asked to put off."""
    return timeseries(
        "Held back by source",
        "ops",
        "Attempts put off because the other side asked for it. Healthy: none. Otherwise send more "
        "slowly: fewer slots, or a limit agreed on.",
        query(flow(queue("tirelessd_throttled_total"), "source"), "{{source}}"),
    )


def dead() -> Model:
    """Why items are given up."""
    return bars(
        "Dead by reason",
        "short",
        "Items given up. Healthy: none. `max_attempts` and `expired`: the other side failed for "
        "too long; `permanent` and `not_retriable`: it refuses them. Mend, then redrive.",
        query(
            counted(queue("tirelessd_items_dead_total"), "$__rate_interval", "reason"),
            "{{reason}}",
            exemplar=True,
        ),
    )


def oldest_dead() -> Model:
    """How long dead letters have been left alone."""
    return timeseries(
        "Oldest dead letter",
        "s",
        "How long ago the oldest dead letter was accepted. Healthy: 0. Days: nobody looks after "
        "them; redrive or purge.",
        query(highest(queue("tirelessd_queue_item_age_seconds", 'state="dead"')), "oldest"),
    )


def handled_dead() -> Model:
    """What operators do about dead letters."""
    return bars(
        "Dead letters kept, redriven, purged",
        "short",
        "How many there are, and what was done about them. Healthy: none kept. Redriven ones that "
        "die again: the cause is still there.",
        query(stored(queue("tirelessd_queue_items", 'state="dead"'), "state"), "kept"),
        query(
            counted(queue("tirelessd_dead_items_redriven_total"), "$__rate_interval"),
            "redriven",
        ),
        query(
            counted(queue("tirelessd_dead_items_purged_total"), "$__rate_interval", "source"),
            "purged by {{source}}",
        ),
    )


def dead_lines() -> Model:
    """The lines of items given up."""
    return logs(
        "Dead letters, line by line",
        "Every item given up, with its reason and what the last attempt was answered; these lines "
        "are never sampled. Healthy: none. Copy an `item_id` to look it up or to redrive it.",
        '{app="tirelessd"} | json | event="item.dead" | queue=~"$queue"',
    )


def deliveries() -> Model:
    """How long items take in all."""
    return heatmap(
        "From acceptance to the end",
        "s",
        "How long items took, waiting and retries included. Healthy: dark at the bottom. Bands "
        "higher up are the backoffs of second and third attempts.",
        total(increase(queue(f"{END}_bucket"), "$__rate_interval"), "le"),
    )


def delivery_quantiles() -> Model:
    """What callers feel."""
    return timeseries(
        "Delivery time",
        "s",
        "From acceptance to success; 0 while nothing succeeds. Healthy: p99 below the dashed line. "
        "Above it: compare wait and attempts above. Dots lead to their traces.",
        *(
            query(
                quantile(share, queue(f"{END}_count", 'outcome="succeeded"')), name, exemplar=True
            )
            for name, share in SHARES.items()
        ),
        target_line(slis.target("end_to_end")),
        link=to_traces("$queue"),
    )


def last_progress() -> Model:
    """Whether anything happens at all."""
    stamps = {
        "progress": "tirelessd_queue_last_progress_timestamp_seconds",
        "claim": "tirelessd_queue_last_claim_timestamp_seconds",
    }
    return timeseries(
        "Since anything happened",
        "s",
        "Since an attempt was last settled, and since the store last answered a claim; 0 before "
        "the first. Healthy: claims within seconds. Claims that stop: the store or its loop is "
        "stuck.",
        *(query(f"clamp_min({since(name)}, 0)", legend) for legend, name in stamps.items()),
    )


def since(name: str) -> str:
    """How long ago the latest of a queue's instants was."""
    stamps = queue(name)
    return f"time() - {highest(f'{stamps} > 0')} or {highest(stamps)}"
