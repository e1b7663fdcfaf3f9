"""Recorded series: what alerts, dashboards and scalers share.

They have no `instance`; a static label takes its place, for dashboards select by it.
"""

from typing import Final

from grafana.source.rules.alert import Recording

# A pod that has lost its shared store shows what it saw last, for as long as it lives. The others
# know better; where there are none, as with embedded stores, it is all there is to know.
STALE: Final = """\
 on ($fleet, instance) (
    tirelessd_queue_snapshot_timestamp_seconds < on ($fleet, store) group_left ()
    max by ($fleet, store) (tirelessd_queue_snapshot_timestamp_seconds) - 60
  )"""


def fresh(series: str) -> str:
    """What those processes show that have seen the store lately, or as lately as any."""
    return f"{series} unless{STALE}"


CONFIGURED_ITEMS: Final = 'tirelessd_queue_items{queue!="__unconfigured__"}'
UNCONFIGURED_ITEMS: Final = """\
(
  min by ($fleet, store, queue, state) (tirelessd_queue_items{queue="__unconfigured__"})
  and on ($fleet, store) (
    count by ($fleet, store) (tirelessd_queue_items{queue="__unconfigured__",state="ready"})
    == on ($fleet, store)
    count by ($fleet, store) (count by ($fleet, store, instance) (tirelessd_queue_items))
  )
)"""

# One database may be behind many pods, each of which reports all of it: take the maximum for each
# store first. Embedded stores have different labels, and add up. Not configured is only what no pod
# of a store has configured: while a rollout adds a queue, those that know it count it by its name,
# and some have nothing unknown to them and no such series at all.
QUEUES: Final = (
    Recording(
        "store_queue_state:tirelessd_queue_items:max",
        f"""\
max by ($fleet, store, queue, state) (
  {fresh(CONFIGURED_ITEMS)}
)
or {UNCONFIGURED_ITEMS}""",
    ),
    Recording(
        "queue_state:tirelessd_queue_items:sum",
        "sum by ($queue, state) (store_queue_state:tirelessd_queue_items:max)",
    ),
    Recording(
        "queue:tirelessd_queue_ready_age_seconds:max",
        f"max by ($queue) (\n  {fresh('tirelessd_queue_ready_age_seconds')}\n)",
    ),
    Recording(
        "queue:tirelessd_queue_paused:max",
        f"max by ($queue) (\n  {fresh('tirelessd_queue_paused')}\n)",
    ),
    Recording(
        "queue:tirelessd_slots_utilisation:ratio",
        "sum by ($queue) (tirelessd_slots_busy) / (sum by ($queue) (tirelessd_slots) > 0)",
    ),
    # Of the last ten minutes; of the last day where nothing ended since; the limit where nothing
    # ever did, so that a cold start does not look like no work at all.
    Recording(
        "queue:tirelessd_attempt_duration_seconds:mean",
        """\
sum by ($queue) (rate(tirelessd_attempt_duration_seconds_sum[10m]))
  / (sum by ($queue) (rate(tirelessd_attempt_duration_seconds_count[10m])) > 0)
or on ($queue)
sum by ($queue) (rate(tirelessd_attempt_duration_seconds_sum[1d]))
  / (sum by ($queue) (rate(tirelessd_attempt_duration_seconds_count[1d])) > 0)
or on ($queue)
max by ($queue) (tirelessd_attempt_timeout_seconds)""",
    ),
    # How long one pod would work at all that is ready: divided by the number of pods it is how long
    # they will, which is what a scaler wants.
    Recording(
        "queue:tirelessd_backlog_seconds",
        """\
sum by ($queue) (queue_state:tirelessd_queue_items:sum{state="ready"})
  * on ($queue) sum by ($queue) (queue:tirelessd_attempt_duration_seconds:mean)
  / on ($queue) avg by ($queue) (tirelessd_slots > 0)""",
    ),
    # So many pods would be busy if each had work for all of its slots or for none.
    Recording(
        "queue:tirelessd_slots_busy:pods",
        """\
sum by ($queue) (tirelessd_slots_busy) / on ($queue) avg by ($queue) (tirelessd_slots > 0)""",
    ),
    # What a scaler reads: the queue that wants most, for all queues have slots in every pod. More
    # pods are of no use to a queue that is paused. Two minutes, for a queue with few slots is all
    # busy or all idle whenever one looks.
    Recording(
        "job:tirelessd_backlog_seconds:max",
        """\
max by ($fleet) (
  queue:tirelessd_backlog_seconds
    * on ($queue) (1 - max by ($queue) (queue:tirelessd_queue_paused:max))
)""",
    ),
    Recording(
        "job:tirelessd_slots_busy_pods:max",
        "max by ($fleet) (avg_over_time(queue:tirelessd_slots_busy:pods[2m]))",
    ),
    Recording(
        "queue:tirelessd_effective_success:ratio_rate1h",
        """\
sum by ($queue) (rate(tirelessd_items_completed_total{outcome="succeeded"}[1h]))
  / (sum by ($queue) (rate(tirelessd_items_completed_total{outcome=~"succeeded|dead"}[1h])) > 0)""",
    ),
)

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def error_ratio(window: str) -> Recording:
    """The share of bad events of each queue and SLO in a window; nothing where nothing happened."""
    return Recording(
        f"slo:tirelessd_error_ratio:rate{window}",
        f"""\
1 - sum by ($queue, slo) (rate(tirelessd_slo_good_events_total[{window}]))
  / (sum by ($queue, slo) (rate(tirelessd_slo_events_total[{window}])) > 0)""",
    )


SLO: Final = (
    *(error_ratio(window) for window in WINDOWS),
    Recording(
        "slo:tirelessd_budget:ratio",
        "1 - max by ($queue, slo) (tirelessd_slo_objective_ratio)",
    ),
)
