"""What more than one page says about promises kept: events, budgets and objectives."""

from typing import Final

from grafana.source.dashboards.promql import highest, increase, lowest, queue, ratio, total

EVENTS: Final = queue("tirelessd_slo_events_total")
GOOD: Final = queue("tirelessd_slo_good_events_total")
KEY: Final = ("queue", "slo")
MONTH: Final = "30d"


def objective(*by: str) -> str:
    """The share of events that are to be good."""
    return highest(queue("tirelessd_slo_objective_ratio"), *by)


def indicator(window: str) -> str:
    """The share of events of a window that were good; 1 where there were none."""
    good, events = (total(increase(each, window), *KEY) for each in (GOOD, EVENTS))
    return ratio(good, events, idle=1)


def burn(window: str) -> str:
    """How many times faster than sustainable the budget goes; 1 spends it in just its time."""
    return f"(1 - ({indicator(window)})) / (1 - {objective(*KEY)})"


def budget_left(window: str = MONTH) -> str:
    """The share of the budget of a window that is left; below 0 the promise is broken."""
    return f"1 - {burn(window)}"


def bad_events(window: str, *by: str) -> str:
    """How many events of a window were not good."""
    events, good = (total(increase(each, window), *by) for each in (EVENTS, GOOD))
    return f"{events} - {good}"


def target(slo: str) -> str:
    """The strictest of the targets, in seconds, of the queues that are picked."""
    return lowest(queue("tirelessd_slo_target_seconds", f'slo="{slo}"'))


def success(window: str) -> str:
    """The share of items of a window that were delivered in the end, however often tried."""
    completed = "tirelessd_items_completed_total"
    succeeded = increase(queue(completed, 'outcome="succeeded"'), window)
    ended = increase(queue(completed, 'outcome=~"succeeded|dead"'), window)
    return ratio(total(succeeded), total(ended), idle=1)
