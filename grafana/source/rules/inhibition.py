"""Which alert keeps quiet while which other one fires: Alertmanager's `inhibit_rules`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

INHIBITIONS: Final[Sequence[Mapping[str, Any]]] = (
    # Without targets or a store everything else follows, or is a number nobody counted. That
    # callers lose their writes is news all the same. `absent()` knows only the job.
    {
        "source_matchers": ['alertname = "TirelessdAbsent"'],
        "target_matchers": [
            'alertname =~ "Tirelessd.*"',
            'alertname !~ "Tirelessd(Intake.*|Absent|TargetDown|StoreDown)"',
        ],
        "equal": ["cluster", "job"],
    },
    {
        "source_matchers": ['alertname =~ "Tirelessd(TargetDown|StoreDown)"'],
        "target_matchers": [
            'alertname =~ "Tirelessd.*"',
            'alertname !~ "Tirelessd(Intake.*|Absent|TargetDown|StoreDown)"',
        ],
        "equal": ["cluster", "namespace", "job"],
    },
    {
        "source_matchers": ['alertname = "TirelessdQueueStalled"'],
        "target_matchers": ['alertname =~ "Tirelessd(QueueStale|SlotsSaturated)"'],
        "equal": ["cluster", "namespace", "job", "queue"],
    },
    # A destination is no queue: whose retries they are is not known, so all of the job's.
    {
        "source_matchers": ['alertname = "TirelessdUpstreamDown"'],
        "target_matchers": ['alertname = "TirelessdRetryStorm"'],
        "equal": ["cluster", "namespace", "job"],
    },
    # A hard outage fires several windows; the fastest says enough.
    {
        "source_matchers": ['alertname = "TirelessdErrorBudgetBurn"', 'window = "1h"'],
        "target_matchers": ['alertname = "TirelessdErrorBudgetBurn"', 'window =~ "6h|1d|3d"'],
        "equal": ["cluster", "namespace", "job", "queue", "slo"],
    },
    {
        "source_matchers": ['alertname = "TirelessdErrorBudgetBurn"', 'window = "6h"'],
        "target_matchers": ['alertname = "TirelessdErrorBudgetBurn"', 'window =~ "1d|3d"'],
        "equal": ["cluster", "namespace", "job", "queue", "slo"],
    },
    {
        "source_matchers": ['alertname = "TirelessdErrorBudgetBurn"', 'window = "1d"'],
        "target_matchers": ['alertname = "TirelessdErrorBudgetBurn"', 'window = "3d"'],
        "equal": ["cluster", "namespace", "job", "queue", "slo"],
    },
    {
        "source_matchers": ['alertname =~ "Tirelessd.*"', 'severity = "critical"'],
        "target_matchers": ['alertname =~ "Tirelessd.*"', 'severity =~ "warning|info"'],
        "equal": ["cluster", "namespace", "job", "component", "queue"],
    },
)
