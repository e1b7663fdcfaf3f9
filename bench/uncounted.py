"""The daemon without its counters and histograms, to tell what they cost: `serve` and its options.

Everything else is as it is shipped: the registry is there and can be scraped, and stays at 0.
"""

from __future__ import annotations

from unittest.mock import patch

import tirelessd.daemon
from tirelessd.core.clock import Clock
from tirelessd.daemon import Daemon
from tirelessd.observe.metrics import Metrics


class UncountedDaemon(Daemon):
    """A daemon whose metrics see no event."""

    def _make_metrics(self, clock: Clock) -> Metrics:
        metrics = super()._make_metrics(clock)
        metrics.table = {}
        return metrics


if __name__ == "__main__":
    from tirelessd.cli.begin import main

    with patch.object(tirelessd.daemon, "Daemon", UncountedDaemon):
        main()
