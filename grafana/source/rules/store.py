"""The store, as far as it still takes writes."""

from typing import Final

from grafana.source.rules.alert import Alert, Dashboard, Severity, Threshold

ALERTS: Final = (
    # Serialization failures are how a shared database says "again", and are repeated at once.
    Alert(
        name="StoreErrors",
        severity=Severity.WARNING,
        component="store",
        expression="""\
sum by ($fleet, backend, kind) (
  rate(tirelessd_store_errors_total{kind!="serialization"}[5m])
) > $rate""",
        thresholds=(Threshold("rate", 0.1, "errors a second"),),
        for_seconds=300,
        summary="The {{ $labels.backend }} store fails: {{ $labels.kind }}",
        description=(
            "{{ $value | printf `%.1f` }} operations of the {{ $labels.backend }} store fail each "
            "second; kind: {{ $labels.kind }}."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    Alert(
        name="StoreSlow",
        severity=Severity.WARNING,
        component="store",
        expression="""\
histogram_quantile(0.99, sum by ($fleet, backend, operation, le) (rate(
  tirelessd_store_operation_duration_seconds_bucket{operation=~"enqueue|claim|settle"}[5m]
))) > $seconds""",
        thresholds=(Threshold("seconds", 0.5, "what 1 of 100 operations may exceed"),),
        for_seconds=600,
        summary="The {{ $labels.backend }} store is slow: {{ $labels.operation }}",
        description=(
            "1 of 100 operations {{ $labels.operation }} of the {{ $labels.backend }} store takes "
            "{{ $value | humanizeDuration }} or longer."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    # A snapshot that never was counts from the start of the process.
    Alert(
        name="SnapshotStale",
        severity=Severity.WARNING,
        component="store",
        expression="""\
time() - (
  max by ($fleet, store) (tirelessd_queue_snapshot_timestamp_seconds > 0)
  or on ($fleet) max by ($fleet) (process_start_time_seconds{job="$job"})
) > $seconds""",
        thresholds=(Threshold("seconds", 120, "how old the counts may be; they come every 2 s"),),
        for_seconds=120,
        summary="The numbers of {{ $labels.job }} about its queues are old",
        description=(
            "The store was last counted {{ $value | humanizeDuration }} ago: depths and ages of "
            "all queues are as old."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    Alert(
        name="ClockSkew",
        severity=Severity.WARNING,
        component="store",
        expression="max by ($fleet, instance) (abs(tirelessd_clock_skew_seconds)) > $seconds",
        thresholds=(Threshold("seconds", 2, "how far the clocks may differ"),),
        for_seconds=600,
        summary="The clocks of {{ $labels.instance }} and its store differ",
        description=(
            "The clocks of {{ $labels.instance }} and of its store differ by "
            "{{ $value | humanizeDuration }}: items become due early or late."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
)
