"""The page of promises: for each queue, what was promised, kept, and is left to spend."""

from grafana.source.dashboards import slis
from grafana.source.dashboards.board import board, row, to_queue
from grafana.source.dashboards.panels import (
    AMBER,
    GREEN,
    RED,
    WIDE,
    Model,
    bars,
    query,
    stat,
    steps,
    table,
    timeseries,
)
from grafana.source.dashboards.promql import counted, daemon, increase, lowest, queue, ratio, total

# How fast the budget may go before somebody is told, by window: the lines of the alerts.
BURN_LIMITS = {"1h": 14.4, "6h": 6.0, "3d": 1.0}


def page() -> Model:
    """From what is left to where it went."""
    return board(
        "tirelessd-slo",
        "Promises",
        "What each queue promises, and how much of its error budget is left.",
        row("Where we stand", worst_budget(), promises()),
        row("How fast it goes", *(burn(window, limit) for window, limit in BURN_LIMITS.items())),
        row("Where it went", bad_events(), dead_by_reason(), intake(), spent_by_day()),
        since="now-7d",
    )


def worst_budget() -> Model:
    """The least that is left."""
    return stat(
        "Least budget left, 30 days",
        "percentunit",
        "Of the queue that has least left, for each promise. Healthy: above a quarter. Below 0 the "
        "promise is broken: stop risky changes until it recovers.",
        query(lowest(slis.budget_left(), "slo"), "{{slo}}"),
        size=(24, 4),
        colours=steps((None, RED), (0, AMBER), (0.25, GREEN)),
    )


def promises() -> Model:
    """Every promise in a row."""
    objectives = slis.objective(*slis.KEY)
    targets = f"max by (queue, slo) ({queue('tirelessd_slo_target_seconds')})"
    return table(
        "Promises",
        "Each promise: objective, target, what was kept within 30 days, what is left, and how fast "
        "it goes. Healthy: burn below 1. Above 14.4 within an hour: see to it now.",
        ("Budget left", "percentunit", slis.budget_left()),
        ("Objective", "percentunit", objectives),
        ("Target", "s", f"{targets} or {objectives} * 0"),
        ("Kept, 30 d", "percentunit", slis.indicator(slis.MONTH)),
        ("Burn, 1 h", "short", recorded_burn("1h")),
        ("Burn, 6 h", "short", recorded_burn("6h")),
        ("Burn, 3 d", "short", recorded_burn("3d")),
        ("Bad, 30 d", "short", f"round({slis.bad_events(slis.MONTH, *slis.KEY)})"),
        links={"queue": to_queue("${__value.raw}")},
        sort_by="Burn, 1 h",
    )


def recorded_burn(window: str) -> str:
    """How fast the budget goes, as the alerts see it; 0 where nothing happened."""
    ratios = queue(f"slo:tirelessd_error_ratio:rate{window}")
    budgets = queue("slo:tirelessd_budget:ratio")
    key = ", ".join(slis.KEY)
    # Divided release by release, for each has objectives of its own.
    return f"max by ({key}) ({ratios} / {budgets}) or max by ({key}) ({budgets}) * 0"


def burn(window: str, limit: float) -> Model:
    """How fast it goes within a window, and how fast it may."""
    made = timeseries(
        f"Burn over {window}",
        "short",
        f"How many times faster than sustainable each budget goes. Healthy: below the line, "
        f"{limit:g}. Above it an alert fires when a shorter window agrees; its runbook leads on.",
        query(recorded_burn(window), "{{queue}} {{slo}}"),
        thresholdsStyle={"mode": "line"},
    )
    made["fieldConfig"]["defaults"]["thresholds"] = steps((None, GREEN), (limit, RED))
    return made


def bad_events() -> Model:
    """What was not as promised."""
    return bars(
        "Bad events",
        "short",
        "Events that were not as promised: attempts that waited too long, items that took too long "
        "or died. Healthy: few. A cluster in time: look at its deploys, restarts and drains.",
        query(f"round({slis.bad_events('$__rate_interval', *slis.KEY)})", "{{queue}} {{slo}}"),
        size=WIDE,
    )


def dead_by_reason() -> Model:
    """What the promise of success was spent on."""
    return bars(
        "Dead by reason",
        "short",
        "Items given up, which is what spends the budget of success. Healthy: none. The page of "
        "the queue has their lines.",
        query(
            counted(queue("tirelessd_items_dead_total"), "$__rate_interval", "queue", "reason"),
            "{{queue}} {{reason}}",
        ),
        size=WIDE,
    )


def intake() -> Model:
    """The promise to take work in."""
    name = "tirelessd_intake_requests_total"
    refused = 'result=~"store_error|queue_full|draining|rate_limited|internal_error"'
    asked = 'result!~"invalid|too_large|unauthorized"'
    return timeseries(
        "Intake refused",
        "percentunit",
        "The share of well-formed submit requests that were not taken in, over an hour. Healthy: "
        "0. Above 0.0144 callers lose writes fast enough to wake somebody.",
        query(
            ratio(
                total(increase(daemon(name, refused), "1h")),
                total(increase(daemon(name, asked), "1h")),
            ),
            "refused",
        ),
        size=WIDE,
    )


def spent_by_day() -> Model:
    """A calendar of the budget."""
    spent = slis.bad_events("1d", *slis.KEY)
    events = total(increase(slis.EVENTS, slis.MONTH), *slis.KEY)
    budget = f"(({events}) * (1 - {slis.objective(*slis.KEY)}))"
    return bars(
        "Budget spent, day by day",
        "percentunit",
        "How much of the budget of 30 days each day took. Healthy: at most a thirtieth a day. A "
        "tall bar: one bad day; find what happened in its annotations.",
        query(ratio(f"({spent})", budget), "{{queue}} {{slo}}"),
        size=WIDE,
        interval="1d",
        timeFrom="30d",
        maxDataPoints=30,
    )
