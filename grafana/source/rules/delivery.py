"""What becomes of the work at the other end: retries, throttling, dead letters."""

from typing import Final

from grafana.source.rules.alert import Alert, Dashboard, Severity, Threshold, since

ALERTS: Final = (
    Alert(
        name="RetryStorm",
        severity=Severity.WARNING,
        component="delivery",
        expression="""\
sum by ($queue) (rate(tirelessd_attempts_total{outcome="retry"}[10m]))
  / (sum by ($queue) (rate(tirelessd_attempts_total{outcome!="released"}[10m])) > 0)
  > $share
and on ($queue)
sum by ($queue) (increase(tirelessd_attempts_total{outcome="retry"}[10m])) > $retries""",
        thresholds=(
            Threshold("share", 0.5, "the share of attempts that are to be repeated"),
            Threshold("retries", 20, "fewer retries than this tell nothing"),
        ),
        for_seconds=600,
        keep_seconds=600,
        summary="Most attempts of queue {{ $labels.queue }} fail",
        description=(
            "{{ $value | humanizePercentage }} of the attempts of the last ten minutes in queue "
            "{{ $labels.queue }} failed and will be repeated."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    Alert(
        name="UpstreamDown",
        severity=Severity.WARNING,
        component="delivery",
        expression="""\
sum by ($fleet, destination) (increase(tirelessd_upstream_requests_total[10m])) > $requests
unless on ($fleet, destination)
sum by ($fleet, destination) (
  increase(tirelessd_upstream_requests_total{code_class="2xx"}[10m])
) > 0""",
        thresholds=(Threshold("requests", 5, "fewer requests than this tell nothing"),),
        for_seconds=600,
        summary="The upstream {{ $labels.destination }} answers nothing well",
        description=(
            "All of the {{ $value | printf `%.0f` }} requests of the last ten minutes to the "
            "upstream {{ $labels.destination }} failed."
        ),
        dashboard=Dashboard.DELIVERY,
    ),
    Alert(
        name="UpstreamThrottling",
        severity=Severity.INFO,
        component="delivery",
        expression="""\
sum by ($queue) (rate(tirelessd_throttled_total{source="retry_after"}[10m]))
  / (sum by ($queue) (rate(tirelessd_attempts_total{outcome!="released"}[10m])) > 0)
  > $share
and on ($queue)
sum by ($queue) (increase(tirelessd_throttled_total{source="retry_after"}[10m])) > $throttled""",
        thresholds=(
            Threshold("share", 0.2, "the share of attempts that were put off"),
            Threshold("throttled", 5, "fewer than this tell nothing"),
        ),
        for_seconds=900,
        summary="The upstream of queue {{ $labels.queue }} asks for less",
        description=(
            "{{ $value | humanizePercentage }} of the attempts of the last ten minutes in queue "
            "{{ $labels.queue }} were answered with Retry-After."
        ),
        dashboard=Dashboard.DELIVERY,
    ),
    # Over the counter: a gauge that stays above 0 would fire once and never again.
    Alert(
        name="DeadLettersNew",
        severity=Severity.WARNING,
        component="delivery",
        expression=f"""\
sum by ($queue, reason) (
  {since("tirelessd_items_dead_total", "15m")}
) >= $dead""",
        thresholds=(
            Threshold("dead", 1, "so many dead letters are worth a ticket"),
            Threshold("young_seconds", 900, "how long ago a start still counts", is_wait=True),
        ),
        keep_seconds=1800,
        summary="Queue {{ $labels.queue }} has new dead letters",
        description=(
            "Given up in queue {{ $labels.queue }} within 15 minutes: "
            "{{ $value | printf `%.0f` }}, for the reason {{ $labels.reason }}."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    Alert(
        name="DeadLettersUnattended",
        severity=Severity.INFO,
        component="delivery",
        expression=('max by ($queue) (tirelessd_queue_item_age_seconds{state="dead"}) > $seconds'),
        thresholds=(Threshold("seconds", 86400, "how old a dead letter may become", is_wait=True),),
        for_seconds=3600,
        summary="Nobody looks after the dead letters of queue {{ $labels.queue }}",
        description=(
            "The oldest dead letter of queue {{ $labels.queue }} was accepted "
            "{{ $value | humanizeDuration }} ago."
        ),
        dashboard=Dashboard.QUEUE,
    ),
)
