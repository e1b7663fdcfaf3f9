"""A small cluster of one node: `KUBELET` is `short` (the default) or `long`, see the Makefile.

`ROLLOUTS` and `UPDATES` say how many the long form makes; `KUBELET_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.database import make_database, make_server
from tests.faults.experiment import Experiment, Scale
from tests.faults.pods import Pods
from tests.faults.upstream import Upstream
from tests.kubelet.cluster import Cluster
from tests.kubelet.deployment import Deployment
from tests.postgres import PostgresServer

IS_LONG = os.environ.get("KUBELET", "short") == "long"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the long form has; what starts processes runs alone."""
    here = Path(__file__).parent
    ours = [each for each in items if here in each.path.parents]
    for each in ours:
        if {"cluster", "deployment"} & set(getattr(each, "fixturenames", ())):
            each.add_marker(pytest.mark.alone)
    left_out = [each for each in ours if each.get_closest_marker("long") and not IS_LONG]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [each for each in items if each not in set(left_out)]


@pytest.fixture
def scale() -> Scale:
    """The form that runs."""
    return Scale(is_long=IS_LONG)


def new_seed(folder: Path) -> int:
    """A run's seed, shown with a failure as its folder is."""
    seed = int(os.environ.get("KUBELET_SEED", random.SystemRandom().randrange(1 << 32)))
    sys.stdout.write(f"KUBELET_SEED={seed}\ndata in {folder}\n")
    return seed


@pytest.fixture
async def cluster(tmp_path: Path, scale: Scale) -> AsyncIterator[Cluster]:
    """A node, and an upstream; what still runs at the end is killed, by its pid."""
    async with Upstream(delay_seconds=0.005) as upstream:
        experiment = Experiment(tmp_path, new_seed(tmp_path), scale, upstream)
        async with experiment.watch:
            cluster = Cluster(experiment)
            yield cluster
            await cluster.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A database's server for pods that share one."""
    server = make_server()
    yield server
    server.remove()


@pytest.fixture
async def deployment(
    tmp_path: Path, scale: Scale, server: PostgresServer
) -> AsyncIterator[Deployment]:
    """Pods on one database; what still runs at the end is killed, by its pid."""
    async with Upstream(delay_seconds=0.005) as upstream:
        pods = Pods(tmp_path, new_seed(tmp_path), scale, upstream, await make_database(server))
        deployment = Deployment(pods)
        yield deployment
        await deployment.close()
