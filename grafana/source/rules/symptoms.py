"""What users feel, or will within minutes: these wake somebody."""

from typing import Final

from grafana.source.rules.alert import Alert, Dashboard, Severity, Threshold

HOUR: Final = 3600
WORDS: Final = {"1h": "hour", "6h": "six hours", "1d": "day", "3d": "three days"}
# Nobody is limited by rate but by what all requests together may hold: the daemon has no room.
REFUSED: Final = 'result=~"store_error|queue_full|draining|rate_limited|internal_error"'
# What is the caller's own fault says nothing about the service.
JUDGED: Final = 'result!~"invalid|too_large|unauthorized"'
PAUSED: Final = "(max by ($queue) (queue:tirelessd_queue_paused:max) == 1)"
# What waited through a pause is old when it ends, and gets a while to be worked off.
LATELY_PAUSED: Final = (
    "(max by ($queue) (max_over_time(queue:tirelessd_queue_paused:max[15m])) == 1)"
)


def budget_burn(
    long: str, short: str, factor: float, severity: Severity, for_seconds: int
) -> Alert:
    """Every queue and SLO against its own objective, over a long and a short window at once.

    The long window says that it matters, the short one that it still goes on (SRE workbook,
    chapter 5).
    """
    return Alert(
        name="ErrorBudgetBurn",
        severity=severity,
        component="slo",
        labels={"window": long},
        expression=f"""\
slo:tirelessd_error_ratio:rate{long} > on ($queue, slo) $factor_{long} * slo:tirelessd_budget:ratio
and on ($queue, slo)
slo:tirelessd_error_ratio:rate{short} > on ($queue, slo) $factor_{long} * slo:tirelessd_budget:ratio
and on ($queue, slo)
sum by ($queue, slo) (increase(tirelessd_slo_events_total[{long}])) > $events_{long}""",
        thresholds=(
            Threshold(f"factor_{long}", factor, "how many times too fast the budget is spent"),
            Threshold(f"events_{long}", 20, "fewer items than this tell nothing"),
        ),
        for_seconds=for_seconds,
        keep_seconds=600,
        summary="Queue {{ $labels.queue }} spends its error budget too fast",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the items of the last {WORDS[long]} in "
            "queue {{ $labels.queue }} missed the SLO {{ $labels.slo }}, and it goes on."
        ),
        dashboard=Dashboard.SLO,
    )


def refused_share(window: str) -> str:
    """The share of submissions that were refused for the daemon's own reasons."""
    return f"""\
sum by ($fleet) (rate(tirelessd_intake_requests_total{{{REFUSED}}}[{window}]))
  / (sum by ($fleet) (rate(tirelessd_intake_requests_total{{{JUDGED}}}[{window}])) > 0)"""


def ended(outcome: str, window: str) -> str:
    """How many items of each queue ended like that."""
    total = f"tirelessd_items_completed_total{{{outcome}}}"
    return f"sum by ($queue) (increase({total}[{window}]))"


DEAD: Final = 'outcome="dead"'
ALERTS: Final = (
    budget_burn("1h", "5m", 14.4, Severity.CRITICAL, 120),
    budget_burn("6h", "30m", 6, Severity.CRITICAL, 900),
    budget_burn("1d", "2h", 3, Severity.WARNING, HOUR),
    budget_burn("3d", "6h", 1, Severity.WARNING, 3 * HOUR),
    Alert(
        name="IntakeErrorBudgetBurn",
        severity=Severity.CRITICAL,
        component="intake",
        expression=f"""\
{refused_share("1h")} > $factor * $budget
and on ($fleet)
{refused_share("5m")} > $factor * $budget
and on ($fleet)
sum by ($fleet) (increase(tirelessd_intake_requests_total{{{REFUSED}}}[1h])) >= $refusals""",
        thresholds=(
            Threshold("factor", 14.4, "how many times too fast the budget is spent"),
            Threshold("budget", 0.001, "the share of submissions that may be refused"),
            Threshold("refusals", 5, "fewer refusals than this tell nothing"),
        ),
        for_seconds=120,
        summary="Callers of {{ $labels.job }} cannot hand in their work",
        description=(
            "{{ $value | humanizePercentage }} of the submissions of the last hour were refused "
            "for a reason that is not the caller's, and it goes on."
        ),
        dashboard=Dashboard.OVERVIEW,
    ),
    Alert(
        name="GiveUpBudgetBurn",
        severity=Severity.CRITICAL,
        component="delivery",
        expression=f"""\
{ended(DEAD, "1h")}
  / ({ended('outcome=~"succeeded|dead"', "1h")} > 0)
  > $factor * $budget
and on ($queue)
{ended(DEAD, "1h")} >= $dead
and on ($queue)
{ended(DEAD, "5m")} > 0""",
        thresholds=(
            Threshold("factor", 14.4, "how many times too fast the budget is spent"),
            Threshold("budget", 0.001, "the share of items that may be given up"),
            Threshold("dead", 5, "fewer dead letters than this tell nothing"),
        ),
        for_seconds=120,
        keep_seconds=900,
        summary="Queue {{ $labels.queue }} gives up too many items",
        description=(
            "{{ $value | humanizePercentage }} of the items of the last hour in queue "
            "{{ $labels.queue }} were given up, and more follow."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    # A queue that promises little is not stale before ten times what it promises.
    Alert(
        name="QueueStale",
        severity=Severity.CRITICAL,
        component="queue",
        expression=f"""\
max by ($queue) (queue:tirelessd_queue_ready_age_seconds:max{{queue!="__unconfigured__"}})
> on ($queue) (
  clamp_min($factor * max by ($queue) (tirelessd_slo_target_seconds{{slo="wait"}}), $seconds)
  or on ($queue) 0 * max by ($queue) (queue:tirelessd_queue_ready_age_seconds:max) + $seconds
)
unless on ($queue) {LATELY_PAUSED}""",
        thresholds=(
            Threshold("seconds", 300, "how long an item may be due", is_wait=True),
            Threshold("factor", 10, "or how many times the wait that was promised, if longer"),
        ),
        for_seconds=120,
        keep_seconds=300,
        summary="Items of queue {{ $labels.queue }} wait too long",
        description=(
            "The oldest item that could run in queue {{ $labels.queue }} has been due for "
            "{{ $value | humanizeDuration }}."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    # Where one attempt may take longer than the window, a running one is progress. What a drain
    # hands back is none.
    Alert(
        name="QueueStalled",
        severity=Severity.CRITICAL,
        component="queue",
        expression=f"""\
sum by ($queue) (
  queue_state:tirelessd_queue_items:sum{{queue!="__unconfigured__",state="ready"}}
) > 0
and on ($queue)
(sum by ($queue) (increase(tirelessd_attempts_total{{outcome!="released"}}[10m])) == 0)
unless on ($queue) {PAUSED}
unless on ($queue) (
  max by ($queue) (tirelessd_attempt_timeout_seconds) > $long_seconds
  and on ($queue) max by ($queue) (tirelessd_attempt_longest_running_seconds) > 0
)""",
        thresholds=(
            Threshold(
                "long_seconds",
                300,
                "attempts that may take longer count as progress while they run",
                is_wait=True,
            ),
        ),
        for_seconds=300,
        summary="Queue {{ $labels.queue }} stands still",
        description=(
            "{{ $value | humanize }} items of queue {{ $labels.queue }} are ready, and no attempt "
            "has ended for ten minutes."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    Alert(
        name="NoSlots",
        severity=Severity.CRITICAL,
        component="queue",
        expression=f"""\
(sum by ($queue) (queue_state:tirelessd_queue_items:sum{{state=~"ready|retrying"}}) > 0)
unless on ($queue) (sum by ($queue) (tirelessd_slots) > 0)
unless on ($queue) {PAUSED}""",
        for_seconds=600,
        summary="Nothing works on queue {{ $labels.queue }}",
        description=(
            "{{ $value | humanize }} items of queue {{ $labels.queue }} wait, and no process has a "
            "slot for them."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    # A canary that never came back counts from the start of the process. Its interval is 0 where it
    # is switched off.
    Alert(
        name="CanaryFailing",
        severity=Severity.CRITICAL,
        component="canary",
        expression="""\
time() - (
  max by ($fleet) (tirelessd_canary_last_success_timestamp_seconds > 0)
  or on ($fleet) max by ($fleet) (process_start_time_seconds{job="$job"})
)
> on ($fleet)
$intervals * (max by ($fleet) (tirelessd_background_task_interval_seconds{task="canary"}) > 0)""",
        thresholds=(Threshold("intervals", 3, "how many canaries in a row may miss"),),
        for_seconds=60,
        summary="No canary item of {{ $labels.job }} comes through",
        description=(
            "The last canary item went all the way from intake to delivery "
            "{{ $value | humanizeDuration }} ago."
        ),
        dashboard=Dashboard.OVERVIEW,
    ),
    # A process that has never reached its store cannot name it; one that serves says nothing of its
    # start.
    Alert(
        name="StoreDown",
        severity=Severity.CRITICAL,
        component="store",
        expression="""\
max by ($fleet, store) (tirelessd_store_up) == 0
or label_replace(
  min by ($fleet) (tirelessd_lifecycle_state{state="starting"}) == 1, "store", "unreached", "", ""
) * 0""",
        for_seconds=120,
        summary="The store {{ $labels.store }} takes no writes",
        description=(
            "No process can write to the store {{ $labels.store }}: submissions are refused, and "
            "no attempt starts."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    # Over a plain selector: over an expression, absent() loses the labels.
    Alert(
        name="Absent",
        severity=Severity.CRITICAL,
        component="telemetry",
        expression="""\
absent(up{job="$job"})
or count by ($fleet) (up{job="$job"} == 0) == on ($fleet) count by ($fleet) (up{job="$job"})""",
        for_seconds=300,
        summary="Prometheus sees no process of {{ $labels.job }}",
        description=(
            "Prometheus has no target of the job {{ $labels.job }} that answers: every process of "
            "it is gone, or nobody looks."
        ),
        dashboard=Dashboard.OVERVIEW,
    ),
)
