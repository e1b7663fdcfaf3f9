"""The page for whoever is on call: is it healthy, and if not, which queue it is."""

from grafana.source.dashboards import slis
from grafana.source.dashboards.board import board, row, to_queue
from grafana.source.dashboards.panels import (
    AMBER,
    ANY_IS_BAD,
    GREEN,
    NEVER,
    RED,
    Model,
    judged,
    latest,
    query,
    stat,
    steps,
    table,
    target_line,
    timeseries,
)
from grafana.source.dashboards.promql import (
    counted,
    daemon,
    flow,
    highest,
    increase,
    lowest,
    quantile,
    queue,
    rate,
    ratio,
    seconds_since,
    stored,
    time_to_empty,
    total,
)
from grafana.source.dashboards.special import alerts

READY_AGE = queue("tirelessd_queue_ready_age_seconds")
READY = queue("tirelessd_queue_items", 'state="ready"')
ATTEMPTS = queue("tirelessd_attempts_total")
COMPLETED = queue("tirelessd_items_completed_total")
INTAKE_TIME = daemon("tirelessd_intake_request_duration_seconds_count")


def page() -> Model:
    """The whole page, in the order of the questions that are asked."""
    return board(
        "tirelessd-overview",
        "Overview",
        "Twenty seconds to tell whether work gets done. Read the first row; red leads on.",
        row(
            "Is it healthy?",
            canary_age(),
            worst_ready_age(),
            budget_left(),
            effective_success(),
            dead_lately(),
            firing(),
        ),
        row(
            "Golden signals",
            intake_rate(),
            intake_latency(),
            attempts(),
            items(),
            ready_age(),
            slot_use(),
        ),
        row("Worst queues", worst_queues()),
        row("Capacity", pods(), slots(), unready(), backlog()),
    )


def canary_age() -> Model:
    """How long ago an item last went all the way, where that is longest ago."""
    at = daemon("tirelessd_canary_last_success_timestamp_seconds")
    return judged(
        "Canary",
        "s",
        "Since an item last went the whole way: taken in, stored, claimed, done. Healthy: below "
        "three times its interval. Red: `tirelessd_canary_failures_total` names the stage; `never` "
        "means that the canary is switched off or has not been through yet.",
        query(f"max(time() - max by (cluster, namespace, job) ({at} > 0)) or {seconds_since(at)}"),
        query(
            "3 * " + highest(daemon("tirelessd_background_task_interval_seconds", 'task="canary"'))
        ),
        mappings=[NEVER],
    )


def worst_ready_age() -> Model:
    """How long the item that waits longest has been due."""
    return judged(
        "Worst ready age",
        "s",
        "How long the longest-due item of all queues has waited for a slot; backoff is not in it. "
        "Healthy: below the target for waiting. Red: see which queue in `Worst queues`, then "
        "whether its slots are all busy (add some) or idle (it is stalled).",
        query(highest(READY_AGE)),
        query(slis.target("wait")),
    )


def budget_left() -> Model:
    """What is left of each promise."""
    return stat(
        "Error budget left, 30 days",
        "percentunit",
        "Of the queue that has least left, for each promise. Healthy: above a quarter. Red: open "
        "the page of promises; it tells how fast it goes and for which queue.",
        query(lowest(slis.budget_left(), "slo"), "{{slo}}"),
        colours=steps((None, RED), (0, AMBER), (0.25, GREEN)),
    )


def effective_success() -> Model:
    """How much of the work ends well."""
    return judged(
        "Delivered in the end, 1 h",
        "percentunit",
        "Items that succeeded among those that ended, retries included. Healthy: above the "
        "objective. Red: the page of the queue tells why items die.",
        query(slis.success("1h")),
        query(highest(queue("tirelessd_slo_objective_ratio", 'slo="success"'))),
        is_floor=True,
    )


def dead_lately() -> Model:
    """How many items were given up."""
    return stat(
        "Dead, 24 h",
        "short",
        "Items given up within a day. Healthy: none. Otherwise read their reasons on the page of "
        "the queue, mend the cause, and redrive them.",
        latest(counted(queue("tirelessd_items_dead_total"), "24h")),
        colours=ANY_IS_BAD,
    )


def firing() -> Model:
    """What alerts say."""
    return alerts(
        "Firing alerts",
        "Alerts that fire or are about to. Healthy: none. Each has a runbook; open it from the "
        "alert.",
        size=(4, 5),
    )


def intake_rate() -> Model:
    """What callers ask for, and what they are told."""
    return timeseries(
        "Intake by result",
        "reqps",
        "Submit requests by what became of them. Healthy: `accepted` and `duplicate` only. "
        "`queue_full` or `store_error`: callers are losing writes; see items and the store.",
        query(flow(daemon("tirelessd_intake_requests_total"), "result"), "{{result}}"),
        is_stacked=True,
    )


def intake_latency() -> Model:
    """How long callers wait."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return timeseries(
        "Intake latency",
        "s",
        "How long a submit request takes, the durable commit included; 0 while none comes. "
        "Healthy: p99 below 0.1 s. Higher: compare with the store's operations on the page of "
        "internals. Dots are sampled requests; they lead to their traces.",
        *(
            query(quantile(share, INTAKE_TIME), name, exemplar=True)
            for name, share in shares.items()
        ),
    )


def attempts() -> Model:
    """What the work comes to, try by try."""
    return timeseries(
        "Attempts by outcome",
        "ops",
        "Tries that ended. Healthy: green far above amber, no red. Much amber: the other side "
        "fails; the page of the queue has the reasons.",
        query(flow(ATTEMPTS, "outcome"), "{{outcome}}"),
        is_stacked=True,
    )


def items() -> Model:
    """What the stores hold."""
    return timeseries(
        "Items by state",
        "short",
        "Items in the stores, each store counted once. Healthy: `ready` near 0, `dead` empty. "
        "Growing `ready`: too few slots; growing `retrying`: the other side fails.",
        query(stored(queue("tirelessd_queue_items"), "state"), "{{state}}"),
        is_stacked=True,
    )


def ready_age() -> Model:
    """How long due work waits, queue by queue."""
    return timeseries(
        "Ready age by queue",
        "s",
        "How long each queue's longest-due item has waited. Healthy: below the dashed line, the "
        "strictest target. Above it and growing: add slots or pods, unless slots are idle.",
        query(highest(READY_AGE, "queue"), "{{queue}}"),
        target_line(slis.target("wait")),
        link=to_queue(),
    )


def slot_use() -> Model:
    """How much of what could work does."""
    return timeseries(
        "Slots in use",
        "percentunit",
        "Busy slots among all. Healthy: below 0.8. At 1 while ready age grows: raise `slots` or "
        "add pods, after a look at how long attempts take.",
        query(
            ratio(
                total(queue("tirelessd_slots_busy"), "queue"),
                total(queue("tirelessd_slots"), "queue"),
            ),
            "{{queue}}",
        ),
        link=to_queue(),
    )


def worst_queues() -> Model:
    """The queues, those that wait longest first."""
    ready = stored(READY, "queue")
    ends = total(rate(queue("tirelessd_items_completed_total")), "queue")
    retries = total(increase(queue("tirelessd_attempts_total", 'outcome="retry"'), "1h"), "queue")
    return table(
        "Worst queues",
        "Queues by how long their longest-due item waits. Healthy: small numbers everywhere. An "
        "infinite time to empty means that nothing ends: the queue is stalled or paused. A click "
        "on a queue opens its page.",
        ("Ready age", "s", highest(READY_AGE, "queue")),
        ("Ready", "short", ready),
        ("Empty in", "s", time_to_empty(ready, ends)),
        (
            "Retried, 1 h",
            "percentunit",
            ratio(retries, total(increase(ATTEMPTS, "1h"), "queue")),
        ),
        (
            "Dead, 1 h",
            "short",
            counted(queue("tirelessd_items_dead_total"), "1h", "queue"),
        ),
        ("Paused", "bool_yes_no", highest(queue("tirelessd_queue_paused"), "queue")),
        links={"queue": to_queue("${__value.raw}")},
        sort_by="Ready age",
    )


def pods() -> Model:
    """How many daemons there are."""
    return stat(
        "Daemons",
        "short",
        "Daemons that are up and ready to take work in. Healthy: as many as were deployed. Fewer: "
        "look at restarts and states on the page of internals.",
        query(total(daemon("up")), "up"),
        query(total(daemon("tirelessd_ready")), "ready"),
        size=(6, 8),
    )


def slots() -> Model:
    """What could work at once, and what does."""
    return timeseries(
        "Slots",
        "short",
        "Slots of all daemons, and how many are busy. Healthy: busy well below all. Stuck ones "
        "hold a handler that does not end: restart that daemon and mend the handler.",
        query(total(queue("tirelessd_slots")), "all"),
        query(total(queue("tirelessd_slots_busy")), "busy"),
        query(total(queue("tirelessd_slots_stuck")), "stuck"),
        size=(6, 8),
    )


def unready() -> Model:
    """How full the queues are."""
    # Store by store, for an embedded one has a capacity of its own in every pod.
    items = queue("tirelessd_queue_items", 'state!="dead"')
    capacity = queue("tirelessd_queue_capacity_items")
    fleet = ("cluster", "namespace", "job", "queue")
    limit = f"on ({', '.join(fleet)}) group_left () ({highest(capacity, *fleet)} > 0)"
    share = highest(f"{stored(items, *fleet, 'store')} / {limit}", "queue")
    return timeseries(
        "Capacity in use",
        "percentunit",
        "Unfinished items as a share of what the queue may hold; 0 where it is unlimited. "
        "Healthy: below 0.8. At 1 intake answers `queue_full`: add slots or raise the capacity.",
        query(f"{share} or {highest(capacity, 'queue')} * 0", "{{queue}}"),
        size=(6, 8),
        link=to_queue(),
    )


def backlog() -> Model:
    """How long the work at hand would take."""
    return timeseries(
        "Backlog",
        "s",
        "How long one daemon would work at all that is ready: what to scale on. Divided by the "
        "number of daemons it is how long they will. Healthy: below the target for waiting.",
        query(highest(queue("queue:tirelessd_backlog_seconds"), "queue"), "{{queue}}"),
        target_line(slis.target("wait")),
        size=(6, 8),
        link=to_queue(),
    )
