"""METRICS.md and docs/logs.md, made from the registry and the catalogue they describe.

`python -m tirelessd.observe.reference DIRECTORY` writes both; a test fails when they are stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Metric

from tirelessd.core.buckets import Buckets
from tirelessd.core.clock import SystemClock
from tirelessd.core.queue import UNCONFIGURED, UNNAMED, QueueConfig, RetryPolicy
from tirelessd.observe import sampling
from tirelessd.observe.families import SCHEMA, Families
from tirelessd.observe.labels import OVERFLOW
from tirelessd.observe.lines import CATALOGUE
from tirelessd.observe.metrics import About, Metrics

# What these labels say is not known before there is a daemon.
OPEN_LABELS: Final = frozenset(
    {
        "queue",
        "destination",
        "store",
        "backend",
        "metric",
        "label",
        "version",
        "revision",
        "python",
        "hash",
    }
)

EXEMPLIFIED: Final = (
    "tirelessd_intake_request_duration_seconds",
    "tirelessd_item_wait_seconds",
    "tirelessd_attempt_duration_seconds",
    "tirelessd_item_end_to_end_seconds",
    "tirelessd_items_dead_total",
)

METRICS_HEAD: Final = f"""\
# Metrics

Made by `make docs` from the registry itself. Names, labels and their values are API: a change
raises `tirelessd_metrics_schema_info` (now {SCHEMA}), and the old and the new name are both there
for one release.

Every series exists from the start, at 0, so that `increase()` sees the first event. Gauges with a
`store` label are counted from the store and are the same from every process on it: take
`max by (store, …)` first, then add up. `process_*` and `python_*` are there as usual.

Labels have closed sets of values. `queue` is the name of a configured queue, or `{UNCONFIGURED}`
for whatever the store still holds of others. `destination` is the name that an `http` handler's
settings give its upstream, `{UNNAMED}` for all without one, `{OVERFLOW}` for more than fifty.
A value that no set foresees is a defect, counted as `{OVERFLOW}`.

With tracing on, these have exemplars, in the OpenMetrics format: `trace_id` and `span_id` of the
last sampled request or attempt that fell into a bucket, or that a counter counted.
{", ".join(f"`{name}`" for name in EXEMPLIFIED)}.
"""

METRICS_TAIL: Final = """\
`metrics.buckets` in the settings replaces any of them. A queue's `slo` targets must lie within
the bounds of `wait` and `end_to_end`, or the daemon does not start: beyond them no quantile could
show whether a promise is kept. `tirelessd_slo_*` is exact, whatever the bounds.

## Native histograms

What is exposed are classic histograms, as the client for Python has no others. Prometheus 3 makes
native ones with the same bounds of them, at one series each instead of one a bucket, with
`convert_classic_histograms_to_nhcb: true` in its scrape configuration. Dashboards and rules here
ask for `_bucket`, `_sum` and `_count`, so set `always_scrape_classic_histograms: true` beside it.

## Exemplars

Prometheus keeps them only with `--enable-feature=exemplar-storage`, and asks for OpenMetrics, in
which alone they are sent, by itself. Grafana shows them as points that lead to the trace, once
its data source for Prometheus knows which one for traces `trace_id` belongs to.

## Series

Those of the daemon are 434, and each queue has 250 at the most: 5 434 at twenty queues, where a
test allows 5 441. On top come 26 for the canary and 23 for each `destination` that is named, of
which there are fifty at the most. Nothing that a caller sends makes a series. `__unconfigured__`
has some only where the store held such items at the start.

## Identities

When nothing is under way, and since the start of the process, these hold exactly; tests assert
them:

- accepted + redriven = succeeded + dead + cancelled + items that are ready, scheduled, retrying
  or running: what came in has ended or is still there.
- `attempts_total{outcome="success"}` = succeeded: an attempt counts once its settlement held. One
  that was refused is in `late_completions_total` alone.
- attempts without `released` = `item_attempts_sum` + the attempts of unfinished items.
- `slo_events_total{slo="success"}` = succeeded + dead, and so for `end_to_end`. An item counts
  once in a generation, that is, again after a redrive. For `wait` it counts when its first
  attempt is settled, or when it ends without any; so a cancelled item counts in none, unless it
  was attempted before.
- the gauge of dead items = items that died less redriven less purged.

Canaries are in none of them.
"""

LOGS_HEAD: Final = f"""\
# Log lines

Made by `make docs` from the catalogue itself. One JSON object a line on standard error (or
columns, on a terminal): `ts level event`, then what there is of `queue item_id attempt outcome
reason status detail duration_ms …`, then `trace_id` and `span_id`, then `pod` (the host's name) and
`version`. A field without a value is left out.

A line about an item or a request that belongs to a trace says so: with tracing on it names the span
of the attempt or request, without it the context that the caller sent. So do the lines that a
handler writes, through `context.logger` or, with tracing on, through any logger of Python's.

Lines at info and warning are sampled by event, queue and reason: the first {sampling.FULL_LINES}
in each minute are written, then one in {sampling.ONE_IN}, with `suppressed` telling how many were
not. Debug lines and errors are never sampled. A defect's line has a `fingerprint`; its traceback,
in `exception`, comes with the first of each.

No line has a payload, a header, a token, or the query of a URL. Text that others chose (`detail`,
`message`, `error`, `exception`) is cut, and control characters in it are escaped, so that it can
neither start a line nor steer a terminal.
"""


def metrics_reference() -> str:
    """METRICS.md."""
    metrics = Metrics(
        [QueueConfig("any", retry=RetryPolicy(retry_on=(302,)), destination="any")],
        store_label="any",
        backend="any",
        about=About("any", "any", "any"),
        clock=SystemClock(),
        has_canary=True,
    )
    families = {family.name: family for family in metrics.registry.collect()}
    parts = [METRICS_HEAD]
    for title, names in Families(CollectorRegistry(), Buckets()).groups().items():
        parts.append(f"## {title}\n")
        parts.append("| name | type | labels | meaning |\n| --- | --- | --- | --- |")
        parts.append("\n".join(row_of(families[name]) for name in names) + "\n")
    parts.append("## Buckets\n\nEach list can be configured.\n")
    parts.append("| list | upper bounds |\n| --- | --- |")
    parts.append("\n".join(bucket_rows(Buckets())) + "\n")
    parts.append(METRICS_TAIL)
    return "\n".join(parts)


def full_name(family: Metric) -> str:
    """The name as it is queried."""
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def row_of(family: Metric) -> str:
    """One family as a row of its table."""
    labels = "<br>".join(label_text(name, values) for name, values in label_values(family))
    return f"| `{full_name(family)}` | {family.type} | {labels} | {family.documentation} |"


def label_values(family: Metric) -> Iterable[tuple[str, list[str]]]:
    """Each label with the values it has in the samples, in their order."""
    values: dict[str, dict[str, None]] = {}
    for sample in family.samples:
        for name, value in sample.labels.items():
            values.setdefault(name, {})[value] = None
    values.pop("le", None)
    # The one family without a series until something is wrong.
    values = values or ({"metric": {}, "label": {}} if "overflow" in family.name else {})
    return [(name, list(known)) for name, known in values.items()]


def label_text(name: str, values: list[str]) -> str:
    """A label, with its values where they are known beforehand."""
    if name in OPEN_LABELS:
        return name
    return f"{name}: {' '.join(f'`{value}`' for value in values)}"


def bucket_rows(buckets: Buckets) -> Iterable[str]:
    """Each list of bounds as a row."""
    for name in buckets.__struct_fields__:
        bounds = " ".join(f"{bound:.10g}" for bound in getattr(buckets, name))
        yield f"| {name} | {bounds} |"


def logs_reference() -> str:
    """docs/logs.md."""
    rows = [f"| `{line.event}` | {', '.join(line.levels)} | {line.meaning} |" for line in CATALOGUE]
    table = "\n".join(["| event | levels | meaning |", "| --- | --- | --- |", *rows])
    return f"{LOGS_HEAD}\n{table}\n"


def write_references(directory: Path) -> None:
    """Write both pages into a working copy."""
    (directory / "docs").mkdir(exist_ok=True)
    (directory / "METRICS.md").write_text(metrics_reference(), encoding="utf-8")
    (directory / "docs" / "logs.md").write_text(logs_reference(), encoding="utf-8")


if __name__ == "__main__":
    write_references(Path(sys.argv[1]))
