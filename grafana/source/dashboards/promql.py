"""Queries, put together from a few shapes so that each is right everywhere.

Every selector carries the variables of the page. Rates come before sums, never after. What is
counted from a shared store is taken once for each store before it is added up. A ratio and a
quantile of nothing are no NaN: they have the value that idleness has.
"""

from typing import Final

FLEET: Final = (
    'cluster=~"$cluster"',
    'namespace=~"$namespace"',
    'job=~"$job"',
    'instance=~"$instance"',
)
OF_QUEUE: Final = 'queue=~"$queue"'
STORE: Final = ("cluster", "namespace", "job", "store")
STEP: Final = "$__rate_interval"


def daemon(name: str, *matchers: str) -> str:
    """The series of a name, of the daemons that are picked."""
    return f"{name}{{{', '.join((*FLEET, *matchers))}}}"


def queue(name: str, *matchers: str) -> str:
    """The series of a name, of the daemons and queues that are picked."""
    return daemon(name, OF_QUEUE, *matchers)


def rate(series: str) -> str:
    """How much a counter grows in a second."""
    return f"rate({series}[{STEP}])"


def increase(series: str, window: str) -> str:
    """How much a counter has grown in a window."""
    return f"increase({series}[{window}])"


def counted(series: str, window: str, *by: str) -> str:
    """How many times something happened in a window, for people: a whole number of times.

    Prometheus extrapolates to the window's ends, and so counts two thirds of a death.
    """
    return f"round({total(increase(series, window), *by)})"


def aggregate(word: str, expression: str, *by: str) -> str:
    """One value for each combination of labels; one in all without any."""
    labels = f" by ({', '.join(by)})" if by else ""
    return f"{word}{labels} ({expression})"


def total(expression: str, *by: str) -> str:
    """The sum."""
    return aggregate("sum", expression, *by)


def highest(expression: str, *by: str) -> str:
    """The maximum."""
    return aggregate("max", expression, *by)


def lowest(expression: str, *by: str) -> str:
    """The minimum."""
    return aggregate("min", expression, *by)


def flow(series: str, *by: str) -> str:
    """The rates of counters, added up."""
    return total(rate(series), *by)


def stored(series: str, *by: str) -> str:
    """How many items stores hold: each is counted once, however many pods report it, then added.

    By queue and state, too: the maximum of two queues is not what both hold.
    """
    return total(highest(series, *STORE, "queue", "state"), *by)


def quantile(share: float, histogram: str, *by: str) -> str:
    """A quantile of what a histogram counted lately; 0 where it counted nothing.

    The histogram is a selector of its `_count`.
    """
    buckets = flow(histogram.replace("_count{", "_bucket{", 1), *by, "le")
    return f"histogram_quantile({share}, {buckets}) >= 0 or {flow(histogram, *by)} * 0"


def ratio(part: str, whole: str, *, idle: float = 0) -> str:
    """One thing as a share of another with the same labels; `idle` where that is 0."""
    return f"({part}) / ({whole} > 0) or ({whole}) * 0 + {idle}"


def seconds_since(stamps: str, *by: str) -> str:
    """How long ago the latest of some instants was; -1 where nothing ever happened."""
    return f"time() - {highest(f'{stamps} > 0', *by)} or {highest(stamps, *by)} - 1"


def time_to_empty(items: str, rate_of_ends: str) -> str:
    """How long items last at a rate: 0 where there are none, infinite where none ends."""
    return f"({items}) / ({rate_of_ends} > 0) or ({items}) == 0 or ({items}) * Inf"
