"""Whether what is seen is all there is to see, and all of one make."""

from typing import Final

from grafana.source.rules.alert import Alert, Dashboard, Severity, Threshold

HOUR: Final = 3600

ALERTS: Final = (
    Alert(
        name="TargetDown",
        severity=Severity.WARNING,
        component="telemetry",
        expression="""\
count by ($fleet) (up{job="$job"} == 0) / on ($fleet) count by ($fleet) (up{job="$job"})
> $share""",
        thresholds=(Threshold("share", 0.1, "the share of targets that may be down"),),
        for_seconds=600,
        summary="Processes of {{ $labels.job }} do not answer Prometheus",
        description=(
            "{{ $value | humanizePercentage }} of the targets of {{ $labels.job }} cannot be "
            "scraped."
        ),
        dashboard=Dashboard.OVERVIEW,
    ),
    Alert(
        name="MetricsMissing",
        severity=Severity.WARNING,
        component="telemetry",
        expression="""\
max by ($fleet, instance) (up{job="$job"} == 1)
unless on ($fleet, instance) tirelessd_build_info""",
        for_seconds=600,
        summary="{{ $labels.instance }} answers, but not as tirelessd",
        description=(
            "{{ $labels.instance }} is a target of {{ $labels.job }} and up, but says nothing of "
            "its version: it is something else, or too old."
        ),
        dashboard=Dashboard.OVERVIEW,
    ),
    Alert(
        name="ConfigSkew",
        severity=Severity.WARNING,
        component="telemetry",
        expression="count by ($fleet) (count by ($fleet, hash) (tirelessd_config_info)) > 1",
        for_seconds=HOUR,
        summary="Processes of {{ $labels.job }} have different configurations",
        description=(
            "{{ $value }} different configurations are in use by {{ $labels.job }}: a rollout is "
            "half done."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    Alert(
        name="VersionSkew",
        severity=Severity.INFO,
        component="telemetry",
        expression=(
            "count by ($fleet) (count by ($fleet, version, revision) (tirelessd_build_info)) > 1"
        ),
        for_seconds=HOUR,
        summary="Processes of {{ $labels.job }} have different versions",
        description=(
            "{{ $value }} different versions of {{ $labels.job }} run: a rollout is half done."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    # Which labels overflow is not known before, so the counter begins at 1: that is no increase.
    Alert(
        name="LabelOverflow",
        severity=Severity.INFO,
        component="telemetry",
        expression="""\
sum by ($fleet, metric, label) (increase(tirelessd_metric_label_overflow_total[1h])) > $values
or on ($fleet, metric, label) (
  sum by ($fleet, metric, label) (tirelessd_metric_label_overflow_total)
  unless on ($fleet, metric, label)
  sum by ($fleet, metric, label) (tirelessd_metric_label_overflow_total offset 1h)
) > $values""",
        thresholds=(Threshold("values", 0, "so many may be put under one word"),),
        summary="The label {{ $labels.label }} of {{ $labels.metric }} has values of no set",
        description=(
            "{{ $value | printf `%.0f` }} values of the label {{ $labels.label }} of "
            "{{ $labels.metric }} were counted as __overflow__ within the last hour."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
)
