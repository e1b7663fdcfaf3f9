"""The scenarios: each starts what it needs, runs its rounds in turns, and tells what it found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from bench.figures import Found
from bench.run import Run
from bench.scenarios.backlog import run_backlog
from bench.scenarios.batch import run_batch
from bench.scenarios.delivery import run_delivery
from bench.scenarios.many_queues import run_idle, run_scrape
from bench.scenarios.metrics import run_metrics
from bench.scenarios.retry import run_retry
from bench.scenarios.shared import run_shared
from bench.scenarios.shared_backlog import run_shared_backlog
from bench.scenarios.single import run_single

SCENARIOS: Final[dict[str, Callable[[Run], Awaitable[Found]]]] = {
    "single": run_single,
    "batch": run_batch,
    "delivery": run_delivery,
    "retry": run_retry,
    "backlog": run_backlog,
    "scrape": run_scrape,
    "metrics": run_metrics,
    "idle": run_idle,
    "shared": run_shared,
    "shared-backlog": run_shared_backlog,
}
