"""P9: half an hour of ordinary life; nothing grows that should not, and the books stay exact."""

from __future__ import annotations

import os
from collections.abc import Sequence
from statistics import linear_regression, median

import pytest

from tests.faults.experiment import Experiment
from tests.faults.watch import MIB, Sample
from tests.waiting import a_moment

MINUTES = float(os.environ.get("FAULTS_MINUTES") or 30)
WARM_MINUTES = 5.0
WORDS = {"ok": 88, "flaky": 10, "bad": 2}
RETENTION = {"succeeded_seconds": 60, "cancelled_seconds": 60, "dead_seconds": 120}


@pytest.mark.row("P9")
@pytest.mark.soak
@pytest.mark.timeout(60 * MINUTES + 300)
async def test_half_an_hour_leaves_no_trace(experiment: Experiment) -> None:
    """At 100 a second, a tenth failing, old items deleted: memory, files and log stay flat."""
    experiment.upstream.keeps_headers = False
    await experiment.start(queue={"retention": RETENTION, "idempotency_seconds": 120})

    async with experiment.load(rate=100, word=WORDS):
        await a_moment(60 * MINUTES)

    await experiment.finish(is_purging=True)
    warm_at = experiment.watch.samples[0].at + 60 * min(WARM_MINUTES, MINUTES / 2)
    warm = [sample for sample in experiment.watch.samples if sample.at >= warm_at]
    assert experiment.watch.most("store_wal_bytes") <= 64 * MIB
    assert growth([float(sample.descriptors) for sample in warm]) <= 5
    assert growth([float(sample.threads) for sample in warm]) <= 5
    assert mib_per_ten_minutes(warm) < 1 or MINUTES < 2 * WARM_MINUTES


def growth(values: Sequence[float]) -> float:
    """How much higher the last tenth lies than the first one."""
    tenth = max(1, len(values) // 10)
    return median(values[-tenth:]) - median(values[:tenth])


def mib_per_ten_minutes(samples: Sequence[Sample]) -> float:
    """The slope of the resident memory."""
    instants = [sample.at for sample in samples]
    slope, _ = linear_regression(instants, [sample.rss_bytes / MIB for sample in samples])
    return slope * 600
