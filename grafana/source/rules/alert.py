"""What an alert is: a condition with named thresholds, and what it says to whoever it wakes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """Who hears of it: a human now, a human in working hours, or only who looks."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Dashboard(StrEnum):
    """The dashboard that shows what an alert is about, by its UID."""

    OVERVIEW = "tirelessd-overview"
    QUEUE = "tirelessd-queue"
    DELIVERY = "tirelessd-delivery"
    INTERNALS = "tirelessd-internals"
    SLO = "tirelessd-slo"


@dataclass(frozen=True)
class Threshold:
    """A number in an alert's expression that somebody may want to change.

    `is_wait` says that it is seconds somebody waits, which shrink with the time scale; seconds that
    are compared with a fixed period or precision of the daemon do not.
    """

    name: str
    default: float
    meaning: str
    is_wait: bool = False


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alerting rule.

    In `expression`, `$fleet` stands for the labels that tell installations apart, `$queue` for
    those and the queue, `$job` for the name of the scrape job, and `$name` for the threshold of
    that name. `summary` and `description` are Prometheus templates.

    Rules may share a name: then `labels` tell them apart, and their thresholds have names of their
    own.
    """

    name: str
    severity: Severity
    component: str
    expression: str
    summary: str
    description: str
    dashboard: Dashboard
    thresholds: tuple[Threshold, ...] = ()
    for_seconds: int = 0
    keep_seconds: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """The name as Alertmanager shows it, which is its runbook's too."""
        return f"Tirelessd{self.name}"

    @property
    def suffix(self) -> str:
        """What tells the texts of rules that share a name apart, such as `for_1h`."""
        return "".join(f"_{value}" for value in self.labels.values())

    @property
    def is_of_queue(self) -> bool:
        """Whether it fires for one queue, which its dashboard can be opened at."""
        return "$labels.queue" in self.description


def since(counter: str, window: str) -> str:
    """How much a counter grew in a window of `$young_seconds`, what a start counts included.

    A process counts what another one left behind before it is scraped for the first time: that is
    no increase, so a process that is younger than the window is taken at its word.
    """
    return f"""\
{counter}
    and on ($fleet, instance)
    (time() - process_start_time_seconds{{job="$job"}} < $young_seconds)
  or increase({counter}[{window}])"""


@dataclass(frozen=True)
class Recording:
    """One recorded series; its expression is written as an alert's is."""

    record: str
    expression: str
