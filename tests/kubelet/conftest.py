"""A small cluster of one node: `KUBELET` is `short` (the default) or `long`, see the Makefile.

`ROLLOUTS` says how many restarts the long form makes; `KUBELET_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.experiment import Experiment, Scale
from tests.faults.upstream import Upstream
from tests.kubelet.cluster import Cluster

IS_LONG = os.environ.get("KUBELET", "short") == "long"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the long form has; what starts processes runs alone."""
    here = Path(__file__).parent
    ours = [each for each in items if here in each.path.parents]
    for each in ours:
        if "cluster" in getattr(each, "fixturenames", ()):
            each.add_marker(pytest.mark.alone)
    left_out = [each for each in ours if each.get_closest_marker("long") and not IS_LONG]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [each for each in items if each not in set(left_out)]


@pytest.fixture
def scale() -> Scale:
    """The form that runs."""
    return Scale(is_long=IS_LONG)


@pytest.fixture
async def cluster(tmp_path: Path, scale: Scale) -> AsyncIterator[Cluster]:
    """A node, and an upstream; what still runs at the end is killed, by its pid."""
    seed = int(os.environ.get("KUBELET_SEED", random.SystemRandom().randrange(1 << 32)))
    sys.stdout.write(f"KUBELET_SEED={seed}\ndata in {tmp_path}\n")
    async with Upstream(delay_seconds=0.005) as upstream:
        experiment = Experiment(tmp_path, seed, scale, upstream)
        async with experiment.watch:
            cluster = Cluster(experiment)
            yield cluster
            await cluster.close()
