"""The page of the daemon itself: store, process, background tasks, telemetry."""

from grafana.source.dashboards import telemetry
from grafana.source.dashboards.board import board, row
from grafana.source.dashboards.panels import (
    SIX,
    WIDE,
    Model,
    bars,
    query,
    table,
    target_line,
    timeseries,
)
from grafana.source.dashboards.promql import (
    counted,
    daemon,
    flow,
    highest,
    lowest,
    quantile,
    rate,
    total,
)
from grafana.source.dashboards.special import states

LIFE = ("starting", "running", "draining", "stopping")
OPERATION = "tirelessd_store_operation_duration_seconds_count"
INTERVAL = "tirelessd_background_task_interval_seconds"


def page() -> Model:
    """What it stands on, what it is, what helps it, and what it says about itself."""
    return board(
        "tirelessd-internals",
        "Internals",
        "The daemon as a machine: where it is busy, full or failing.",
        row(
            "Store",
            operations(),
            store_errors(),
            store_up(),
            sizes(),
            room(),
            snapshot(),
            connections(),
            connection_wait(),
            dead_rows(),
            oldest_transaction(),
        ),
        row("Runtime", loop_lag(), processor(), memory(), files(), garbage(), tasks()),
        row("Background tasks", success_age(), task_failures(), leases(), clock()),
        row("Lifecycle", life(), drains(), restarts(), versions()),
        row(
            "Intake and telemetry",
            telemetry.in_flight(),
            telemetry.unhandled(),
            telemetry.log_lines(),
            telemetry.lost(),
            telemetry.series(),
            telemetry.scrapes(),
            telemetry.canary_failures(),
            telemetry.canary_trip(),
        ),
    )


def operations() -> Model:
    """How long the store takes."""
    return timeseries(
        "Store operations, p99",
        "s",
        "How long operations of the store took, waiting for the commit included; 0 while there "
        "were none. Healthy: below 0.05 s for enqueue, claim and settle. Slower: the disk, or "
        "somebody else on it.",
        query(quantile(0.99, daemon(OPERATION), "operation"), "{{operation}}"),
    )


def store_errors() -> Model:
    """What fails in the store."""
    errors = daemon("tirelessd_store_errors_total")
    return timeseries(
        "Store errors by kind",
        "ops",
        "Operations of the store that failed. Healthy: none. `full`: make room; `busy`: another "
        "process holds the file; `timeout`: the disk does not answer.",
        query(flow(errors, "kind"), "{{kind}}"),
    )


def store_up() -> Model:
    """Whether the last write went well."""
    return timeseries(
        "Store up",
        "short",
        "1 while the last write to each store went well. Healthy: 1. At 0 intake refuses and "
        "nothing is claimed; mend the store, and do not restart the daemon.",
        query(lowest(daemon("tirelessd_store_up"), "store"), "{{store}}"),
    )


def connections() -> Model:
    """How much of the way to a store behind a network is taken."""
    return timeseries(
        "Connections to the store",
        "short",
        "Connections of each daemon to its store, and the most there may be; 0 where the store is "
        "embedded. Healthy: fewer in use than there may be. All in use: long transactions, or too "
        "few of them.",
        query(
            highest(daemon("tirelessd_store_pool_connections", 'state="used"'), "instance"),
            "{{instance}} used",
        ),
        query(
            highest(daemon("tirelessd_store_pool_max_connections"), "instance"), "{{instance}} most"
        ),
    )


def connection_wait() -> Model:
    """How long one waits for a connection."""
    return timeseries(
        "Wait for a connection to the store, p99",
        "s",
        "How long a connection to the store took to come by. Healthy: below 0.001 s. Longer: new "
        "ones are being made again and again, or all are in use.",
        query(
            quantile(0.99, daemon("tirelessd_store_pool_wait_seconds_count"), "instance"),
            "{{instance}}",
        ),
    )


def dead_rows() -> Model:
    """How much of a shared store is dead weight."""
    return timeseries(
        "Dead rows",
        "short",
        "Rows of items in a shared store that are gone and still in the way of every search; none "
        "where the store is embedded. Healthy: falls again and again. Only rising: a long "
        "transaction keeps them, see beside, or the vacuum cannot keep up.",
        query(highest(daemon("tirelessd_store_dead_rows"), "store"), "{{store}}"),
    )


def oldest_transaction() -> Model:
    """Who may keep the dead rows."""
    return timeseries(
        "Oldest transaction",
        "s",
        "How long the oldest transaction in a shared store has been open. Healthy: below "
        "a minute. Older: a forgotten session or a backup keeps dead rows in the way; "
        "`pg_stat_activity` names it.",
        query(highest(daemon("tirelessd_store_oldest_transaction_seconds"), "store"), "{{store}}"),
    )


def sizes() -> Model:
    """How much the store has grown."""
    return timeseries(
        "Store size",
        "bytes",
        "Data and write-ahead log on disk. Healthy: flat. A log that only grows: a reader holds it "
        "back; data that only grow: look at retention and dead letters.",
        query(highest(daemon("tirelessd_store_size_bytes"), "store"), "{{store}} data"),
        query(highest(daemon("tirelessd_store_wal_bytes"), "store"), "{{store}} log"),
    )


def room() -> Model:
    """How much is left."""
    return timeseries(
        "Room left",
        "bytes",
        "Free space where each store lies. Healthy: many times its size. Falling: purge dead "
        "letters, shorten retention, or grow the volume, before intake has to refuse.",
        query(lowest(daemon("tirelessd_store_free_bytes"), "store"), "{{store}}"),
    )


def snapshot() -> Model:
    """How old the numbers of all other panels are."""
    stamps = daemon("tirelessd_queue_snapshot_timestamp_seconds")
    return timeseries(
        "Age and cost of counts",
        "s",
        "How old the counts of items and ages are, and how long counting took. Healthy: age below "
        "a minute, cost below a second. Older: every panel of queue state shows the past.",
        query(f"time() - {highest(f'{stamps} > 0', 'store')}", "{{store}} age"),
        query(
            highest(daemon("tirelessd_queue_snapshot_duration_seconds"), "store"), "{{store}} cost"
        ),
    )


def loop_lag() -> Model:
    """Whether anything holds the event loop up."""
    lag = daemon("tirelessd_event_loop_lag_seconds_count")
    return timeseries(
        "Event loop lag",
        "s",
        "How late the event loop comes to its timers. Healthy: p99 below 0.05 s. Above: a handler "
        "blocks, or the processor is throttled; the log has `loop.blocked` with the place.",
        query(quantile(0.5, lag), "p50"),
        query(quantile(0.99, lag), "p99"),
    )


def processor() -> Model:
    """How much of a processor it takes."""
    return timeseries(
        "Processor",
        "percentunit",
        "Processor time of each daemon; one event loop can use one processor, which is 1. Healthy: "
        "below 0.8. At 1: add daemons, not processors.",
        query(total(rate(daemon("process_cpu_seconds_total")), "instance"), "{{instance}}"),
    )


def memory() -> Model:
    """How much memory it takes."""
    return timeseries(
        "Memory",
        "bytes",
        "Resident memory of each daemon. Healthy: flat, and below the limit of its container. "
        "Growing without end: see tasks and garbage, then report it.",
        query(total(daemon("process_resident_memory_bytes"), "instance"), "{{instance}}"),
    )


def files() -> Model:
    """How many descriptors are left."""
    return timeseries(
        "File descriptors",
        "short",
        "Open file descriptors, and how many there may be. Healthy: far below the dashed line. "
        "Near it: connections leak, or the limit is too low for this many callers.",
        query(total(daemon("process_open_fds"), "instance"), "{{instance}}"),
        target_line(lowest(daemon("process_max_fds"))),
    )


def garbage() -> Model:
    """How often garbage is collected."""
    return timeseries(
        "Garbage collections",
        "ops",
        "Collections by generation. Healthy: hardly any of generation 2. Many: each holds the "
        "event loop up for a while; compare with its lag.",
        query(flow(daemon("python_gc_collections_total"), "generation"), "{{generation}}"),
    )


def tasks() -> Model:
    """Whether tasks leak."""
    return timeseries(
        "Tasks by kind",
        "short",
        "Tasks of the event loop. Healthy: as many as slots and requests in flight. Growing "
        "without end: a leak; report it with the kind.",
        query(total(daemon("tirelessd_asyncio_tasks"), "kind"), "{{kind}}"),
    )


def success_age() -> Model:
    """Whether each background task does its rounds, measured in rounds."""
    stamps = daemon("tirelessd_background_task_last_success_timestamp_seconds")
    age = f"time() - {highest(f'{stamps} > 0', 'task')}"
    return timeseries(
        "Rounds since a task's last success",
        "short",
        "How long ago each background task finished a round, in rounds. Healthy: below 2. Above "
        "5: it is dead or stuck; the log has `background.failed`. Restart the daemon.",
        query(f"({age}) / {highest(daemon(f'{INTERVAL}') + ' > 0', 'task')}", "{{task}}"),
        size=SIX,
    )


def task_failures() -> Model:
    """Which background task fails."""
    failures = daemon("tirelessd_background_task_failures_total")
    return bars(
        "Failures of background tasks",
        "short",
        "Rounds that failed; each is started again. Healthy: none. Some during trouble with the "
        "store are to be expected; otherwise the log has `background.failed`.",
        query(counted(failures, "$__rate_interval", "task"), "{{task}}"),
        size=SIX,
    )


def leases() -> Model:
    """Leases that did not hold."""
    return bars(
        "Leases expired, late completions",
        "short",
        "Work taken over from daemons that died or hung, and settlements that came after that. "
        "Healthy: none. Late ones were perhaps done twice; see restarts and loop lag.",
        *(
            query(
                counted(daemon(name), "$__rate_interval", "instance"),
                f"{{{{instance}}}} {legend}",
            )
            for legend, name in (
                ("expired", "tirelessd_leases_expired_total"),
                ("late", "tirelessd_late_completions_total"),
            )
        ),
        size=SIX,
    )


def clock() -> Model:
    """Whether clocks agree."""
    return timeseries(
        "Clock skew",
        "s",
        "How far each daemon's clock is ahead of its store's. Healthy: near 0. Above 2 s: mend "
        "time synchronisation; schedules run early or late meanwhile.",
        query(highest(daemon("tirelessd_clock_skew_seconds"), "instance"), "{{instance}}"),
        size=SIX,
        axisCenteredZero=True,
    )


def life() -> Model:
    """What each daemon was when."""
    ones = (daemon("tirelessd_lifecycle_state", f'state="{name}"') for name in LIFE)
    numbered = (f"{number} * {total(one, 'instance')}" for number, one in enumerate(ones, start=1))
    return states(
        "State of each daemon",
        "What each daemon does. Healthy: `running`. Long in `starting`: recovery of the store; "
        "long in `draining`: attempts take longer than the time to drain.",
        " + ".join(numbered),
        "{{instance}}",
        LIFE,
        size=WIDE,
    )


def drains() -> Model:
    """How shutdowns end."""
    return bars(
        "Items in drains",
        "short",
        "What became of the items that were in work when a drain began. Healthy: `finished` and "
        "`released`. `abandoned`: give the daemon more time to drain than an attempt may take.",
        query(
            counted(daemon("tirelessd_drain_items_total"), "$__rate_interval", "result"),
            "{{result}}",
        ),
        size=SIX,
    )


def restarts() -> Model:
    """How often daemons start anew."""
    return bars(
        "Restarts",
        "short",
        "Starts of each daemon within an hour. Healthy: none but deploys. More than three: out of "
        "memory, or a probe kills it; see the events of the cluster.",
        query(
            total(f"changes({daemon('process_start_time_seconds')}[1h])", "instance"),
            "{{instance}}",
        ),
        size=SIX,
    )


def versions() -> Model:
    """What runs where."""
    build, config, schema = (
        daemon(f"tirelessd_{name}_info") for name in ("build", "config", "metrics_schema")
    )
    both = (
        f"{highest(build, 'instance', 'version', 'revision', 'python')}"
        f" * on (instance) group_left (hash) {highest(config, 'instance', 'hash')}"
        f" * on (instance) group_left (schema) {highest(schema, 'instance', 'schema')}"
    )
    return table(
        "Versions",
        "Version, configuration and schema of metrics of each daemon. Healthy: all the same. "
        "More than one for an hour: a rollout that is stuck half-way.",
        ("Runs", "bool_yes_no", both),
        size=(24, 6),
    )
