"""What will hurt if it goes on: tickets, with time to do something."""

from typing import Final

from grafana.source.rules.alert import Alert, Dashboard, Severity, Threshold

ALERTS: Final = (
    Alert(
        name="BacklogWillBreach",
        severity=Severity.WARNING,
        component="queue",
        expression="""\
max by ($queue) (
  predict_linear(
    queue:tirelessd_queue_ready_age_seconds:max{queue!="__unconfigured__"}[30m], $ahead_seconds
  )
) > $seconds
and on ($queue) max by ($queue) (deriv(queue:tirelessd_queue_ready_age_seconds:max[30m])) > 0
and on ($queue) max by ($queue) (queue:tirelessd_queue_ready_age_seconds:max) > $now_seconds
unless on ($queue) (max by ($queue) (queue:tirelessd_queue_paused:max) == 1)""",
        thresholds=(
            Threshold("ahead_seconds", 3600, "how far to look ahead", is_wait=True),
            Threshold("seconds", 300, "how long an item may come to be due", is_wait=True),
            Threshold("now_seconds", 30, "below this nothing is foretold", is_wait=True),
        ),
        for_seconds=900,
        summary="Queue {{ $labels.queue }} falls behind",
        description=(
            "If it goes on, items of queue {{ $labels.queue }} will have been due for "
            "{{ $value | humanizeDuration }} in an hour."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    # By store: an embedded store has a capacity of its own in every pod.
    Alert(
        name="QueueNearCapacity",
        severity=Severity.WARNING,
        component="intake",
        expression="""\
sum by ($fleet, store, queue) (store_queue_state:tirelessd_queue_items:max{state!="dead"})
  / on ($queue) group_left () (max by ($queue) (tirelessd_queue_capacity_items) > 0)
  > $share""",
        thresholds=(Threshold("share", 0.8, "the share of the capacity that is taken"),),
        for_seconds=300,
        summary="Queue {{ $labels.queue }} is nearly full",
        description=(
            "Unfinished items take {{ $value | humanizePercentage }} of the capacity of queue "
            "{{ $labels.queue }} in the store {{ $labels.store }}; a full queue refuses more."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    # Over the recorded share: pods that a deploy took away would count twice otherwise.
    Alert(
        name="SlotsSaturated",
        severity=Severity.WARNING,
        component="queue",
        expression="""\
max by ($queue) (avg_over_time(queue:tirelessd_slots_utilisation:ratio[10m])) > $share
and on ($queue) max by ($queue) (queue:tirelessd_queue_ready_age_seconds:max) > $seconds
unless on ($queue) (max by ($queue) (queue:tirelessd_queue_paused:max) == 1)""",
        thresholds=(
            Threshold("share", 0.95, "the share of slots that are busy"),
            Threshold("seconds", 30, "how long an item may be due", is_wait=True),
        ),
        for_seconds=900,
        summary="All slots of queue {{ $labels.queue }} are busy, and items wait",
        description=(
            "Over ten minutes {{ $value | humanizePercentage }} of the slots of queue "
            "{{ $labels.queue }} were busy while items waited."
        ),
        dashboard=Dashboard.QUEUE,
    ),
    # How large the disk is nobody knows; what is free and what the store takes stand for it.
    Alert(
        name="StoreDiskFilling",
        severity=Severity.WARNING,
        component="store",
        expression="""\
-min by ($fleet, store) (predict_linear(tirelessd_store_free_bytes[6h], $ahead_seconds)) > 0
and on ($fleet, store) (
  min by ($fleet, store) (
    tirelessd_store_free_bytes / (tirelessd_store_free_bytes + tirelessd_store_size_bytes)
  ) < $share
  or on ($fleet, store) min by ($fleet, store) (tirelessd_store_free_bytes) < $bytes
)""",
        thresholds=(
            Threshold("ahead_seconds", 86400, "how far to look ahead", is_wait=True),
            Threshold("share", 0.4, "with more than this share free there is time"),
            Threshold("bytes", 10 * 2**30, "with fewer bytes free than this there is none"),
        ),
        for_seconds=1800,
        summary="The disk of the store {{ $labels.store }} will be full within a day",
        description=(
            "If it goes on, the disk of the store {{ $labels.store }} lacks "
            "{{ $value | humanize1024 }}B in a day."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    Alert(
        name="StorePoolExhausted",
        severity=Severity.WARNING,
        component="store",
        expression="""\
max by ($fleet, instance) (
  tirelessd_store_pool_connections{state="used"}
    / ignoring (state) (tirelessd_store_pool_max_connections > 0)
) > $share
or max by ($fleet, instance) (
  tirelessd_store_pool_connections{state="used"}
    / ignoring (state) (tirelessd_store_pool_max_connections > 0)
) and on ($fleet, instance) histogram_quantile(0.9, sum by ($fleet, instance, le) (
  rate(tirelessd_store_pool_wait_seconds_bucket[5m])
)) > $seconds""",
        thresholds=(
            Threshold("share", 0.9, "the share of connections in use"),
            Threshold("seconds", 0.5, "what 1 of 10 waits for a connection may exceed"),
        ),
        for_seconds=600,
        summary="{{ $labels.instance }} runs out of connections to its store",
        description=(
            "{{ $value | humanizePercentage }} of the store connections of {{ $labels.instance }} "
            "are in use, or some of its work waits for one."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
    Alert(
        name="EventLoopBlocked",
        severity=Severity.WARNING,
        component="runtime",
        expression="""\
histogram_quantile(
  0.99, sum by ($fleet, instance, le) (rate(tirelessd_event_loop_lag_seconds_bucket[5m]))
) > $seconds""",
        thresholds=(Threshold("seconds", 0.25, "the lag that 1 of 100 looks may exceed"),),
        for_seconds=600,
        summary="The event loop of {{ $labels.instance }} is held up",
        description=(
            "1 of 100 looks at the event loop of {{ $labels.instance }} came "
            "{{ $value | humanizeDuration }} late or later."
        ),
        dashboard=Dashboard.INTERNALS,
    ),
)
