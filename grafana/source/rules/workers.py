"""What goes wrong inside the processes that do the work."""

from typing import Final

from grafana.source.rules.alert import Alert, Dashboard, Severity, Threshold, since

ALERTS: Final = (
    Alert(
        name="ItemStuckRunning",
        severity=Severity.WARNING,
        component="workers",
        expression="""\
max by ($queue, instance) (tirelessd_attempt_longest_running_seconds)
> on ($queue, instance) $factor * max by ($queue, instance) (tirelessd_attempt_timeout_seconds)""",
        thresholds=(Threshold("factor", 3, "how many times its limit an attempt may run"),),
        for_seconds=300,
        summary="An attempt of queue {{ $labels.queue }} does not end",
        description=(
            "An attempt of queue {{ $labels.queue }} on {{ $labels.instance }} has been running "
            "for {{ $value | humanizeDuration }}, far beyond its limit."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    Alert(
        name="LeasesExpiring",
        severity=Severity.WARNING,
        component="workers",
        expression=f"""\
sum by ($queue) (
  {since("tirelessd_leases_expired_total", "15m")}
) > $leases""",
        thresholds=(
            Threshold("leases", 3, "so many may expire in a quarter of an hour"),
            Threshold("young_seconds", 900, "how long ago a start still counts", is_wait=True),
        ),
        keep_seconds=900,
        summary="Leases of queue {{ $labels.queue }} expire",
        description=(
            "{{ $value | printf `%.0f` }} leases of queue {{ $labels.queue }} expired within 15 "
            "minutes: their items may be delivered twice."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    Alert(
        name="DrainAbandoned",
        severity=Severity.WARNING,
        component="workers",
        expression=(
            'sum by ($fleet) (increase(tirelessd_drain_items_total{result="abandoned"}[15m])) '
            "> $items"
        ),
        thresholds=(Threshold("items", 0, "so many may be abandoned"),),
        summary="A drain of {{ $labels.job }} abandoned items",
        description=(
            "{{ $value | printf `%.0f` }} items were neither finished nor handed back when a "
            "process ended within the last 15 minutes."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    # One that never finished a round counts from the start of the process, as after a restart.
    Alert(
        name="BackgroundTaskDead",
        severity=Severity.WARNING,
        component="workers",
        expression="""\
time() - (
  max by ($fleet, task) (tirelessd_background_task_last_success_timestamp_seconds > 0)
  or on ($fleet, task) (
    0 * max by ($fleet, task) (tirelessd_background_task_interval_seconds > 0)
    + on ($fleet) group_left () max by ($fleet) (process_start_time_seconds{job="$job"})
  )
)
> on ($fleet, task)
$intervals * max by ($fleet, task) (tirelessd_background_task_interval_seconds)""",
        thresholds=(Threshold("intervals", 5, "how many rounds in a row may fail"),),
        for_seconds=300,
        summary="The background task {{ $labels.task }} does not finish its rounds",
        description=(
            "The background task {{ $labels.task }} has finished no round for "
            "{{ $value | humanizeDuration }}."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    Alert(
        name="Restarting",
        severity=Severity.WARNING,
        component="workers",
        expression=(
            'sum by ($fleet) (changes(process_start_time_seconds{job="$job"}[30m])) > $restarts'
        ),
        thresholds=(Threshold("restarts", 3, "so many restarts in half an hour are chance"),),
        summary="Processes of {{ $labels.job }} restart over and over",
        description="{{ $value | printf `%.0f` }} restarts of {{ $labels.job }} within 30 minutes.",
        dashboard=Dashboard.INTERNALS,
    ),
)
