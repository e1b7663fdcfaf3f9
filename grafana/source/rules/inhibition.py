"""Which alert keeps quiet while which other one fires: Alertmanager's `inhibit_rules`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

FLEET: Final = ("cluster", "namespace", "job")
QUEUE: Final = (*FLEET, "queue")
SLO: Final = (*QUEUE, "slo")


@dataclass(frozen=True)
class Matcher:
    """What a label of an alert has to be; `operator` is one of Alertmanager's four."""

    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f'{self.label} {self.operator} "{self.value}"'


ANY: Final = Matcher("alertname", "=~", "Tirelessd.*")


@dataclass(frozen=True, kw_only=True)
class Inhibition:
    """While one of `sources` fires, `targets` keep quiet where all labels of `equal` are the same.

    Alerts are named as in `Alert.name`; none stands for those that the matchers leave.
    """

    sources: tuple[str, ...] = ()
    source_matchers: tuple[Matcher, ...] = ()
    targets: tuple[str, ...] = ()
    target_matchers: tuple[Matcher, ...] = ()
    equal: tuple[str, ...]

    def as_rule(self) -> Mapping[str, Any]:
        """The rule as Alertmanager reads it."""
        sources = (*named(self.sources), *self.source_matchers)
        targets = (*named(self.targets), *self.target_matchers)
        return {
            "source_matchers": [str(each) for each in sources],
            "target_matchers": [str(each) for each in targets],
            "equal": list(self.equal),
        }


def named(alerts: Sequence[str]) -> tuple[Matcher, ...]:
    """What picks these alerts; nothing where none are named."""
    if not alerts:
        return ()
    if len(alerts) == 1:
        return (Matcher("alertname", "=", f"Tirelessd{alerts[0]}"),)
    return (Matcher("alertname", "=~", f"Tirelessd({'|'.join(alerts)})"),)


def faster_burn(window: str, slower: str) -> Inhibition:
    """A hard outage fires several windows; the fastest says enough."""
    return Inhibition(
        sources=("ErrorBudgetBurn",),
        source_matchers=(Matcher("window", "=", window),),
        targets=("ErrorBudgetBurn",),
        target_matchers=(Matcher("window", "=~" if "|" in slower else "=", slower),),
        equal=SLO,
    )


# Without targets or a store everything else follows, or is a number nobody counted. That callers
# lose their writes is news all the same. Some targets that are gone leave others at work, though:
# their trouble may be that nobody stands in for those, and a ticket must not silence a page.
CONSEQUENCES: Final = (
    ANY,
    Matcher("alertname", "!~", "Tirelessd(Intake.*|Absent|TargetDown|StoreDown)"),
)
TICKETS: Final = Matcher("severity", "=~", "warning|info")
INHIBITIONS: Final = (
    # `absent()` knows only what it was asked for: the job, and a namespace where rules have one.
    Inhibition(sources=("Absent",), target_matchers=CONSEQUENCES, equal=("cluster", "job")),
    Inhibition(sources=("StoreDown",), target_matchers=CONSEQUENCES, equal=FLEET),
    Inhibition(sources=("TargetDown",), target_matchers=(*CONSEQUENCES, TICKETS), equal=FLEET),
    Inhibition(sources=("QueueStalled",), targets=("QueueStale", "SlotsSaturated"), equal=QUEUE),
    # A destination is no queue: whose retries they are is not known, so all of the job's.
    Inhibition(sources=("UpstreamDown",), targets=("RetryStorm",), equal=FLEET),
    faster_burn("1h", "6h|1d|3d"),
    faster_burn("6h", "1d|3d"),
    faster_burn("1d", "3d"),
    Inhibition(
        source_matchers=(ANY, Matcher("severity", "=", "critical")),
        target_matchers=(ANY, TICKETS),
        equal=(*FLEET, "component", "queue"),
    ),
)
