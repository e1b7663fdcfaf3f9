"""The rig's fixtures, and which rows run: see CONTRIBUTING.md and docs/operations.md.

`FAULTS` is `short` (the default), `long` or `soak`; `FAULTS_ROWS` picks rows, as in `P1,S3`;
`FAULTS_FRESH=1` repeats what was green on this code; `FAULTS_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.faults import report
from tests.faults.database import Database, make_database, make_server
from tests.faults.experiment import Experiment, Scale
from tests.faults.ledger import Ledger
from tests.faults.mounts import Mounts, leave_the_namespace
from tests.faults.pods import Pods
from tests.faults.process import DaemonProcess
from tests.faults.upstream import Upstream
from tests.postgres import PostgresServer

FORM = os.environ.get("FAULTS", "short")
ROWS = {row for row in os.environ.get("FAULTS_ROWS", "").split(",") if row}
# A run that is repeated by its seed is wanted, whatever was green before.
IS_FRESH = os.environ.get("FAULTS_FRESH", "") not in ("", "0") or "FAULTS_SEED" in os.environ
SHORTENED = [name for name in ("FAULTS_MINUTES", "FAULTS_SECONDS") if os.environ.get(name)]
# What a row was green in: a shortened soak does not stand for a whole one.
FORM_RUN = f"{FORM}, shortened" if SHORTENED else FORM

MakeDaemon = Callable[..., DaemonProcess]
EXPERIMENT = pytest.StashKey[Experiment]()


def row_of(item: pytest.Item) -> str:
    """The row of the fault plan that a test belongs to, if any."""
    marker = item.get_closest_marker("row")
    return str(marker.args[0]) if marker else ""


def is_wanted(item: pytest.Item, done: set[tuple[str, str]]) -> bool:
    """Whether a test belongs to the form and the rows that were asked for."""
    row = row_of(item)
    is_soak = item.get_closest_marker("soak") is not None
    if FORM == "short":
        return not is_soak and item.get_closest_marker("long") is None and (row in ROWS or not ROWS)
    return (
        bool(row)
        and is_soak == (FORM == "soak")
        and (row in ROWS or not ROWS)
        and (IS_FRESH or (item.nodeid, FORM_RUN) not in done)
    )


# First, for `-m alone` is judged in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of other forms and rows, and those green on this code already.

    What stays runs alone: an experiment loads the machine, and judges latencies and recoveries.
    In the short form those that do neither may have others beside them.
    """
    here = Path(__file__).parent
    ours = [each for each in items if here in each.path.parents]
    done = report.green_before() if FORM != "short" else set()
    left_out = [each for each in ours if not is_wanted(each, done)]
    for each in ours:
        if FORM != "short" or each.get_closest_marker("unhurried") is None:
            each.add_marker(pytest.mark.alone)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [each for each in items if each not in set(left_out)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the line of an experiment that has run in another form than the short one."""
    outcome = yield
    is_over = outcome.when == "call" or (outcome.when == "setup" and not outcome.passed)
    if FORM != "short" and row_of(item) and is_over:
        report.add(line_of(item, outcome))
    return outcome


def line_of(item: pytest.Item, outcome: pytest.TestReport) -> report.Line:
    """What a run came to."""
    experiment = item.stash.get(EXPERIMENT, None)
    commit, tree = report.revision()
    verdicts: dict[str, report.Verdict] = {"passed": "green", "skipped": "skipped"}
    return report.Line(
        row=row_of(item),
        test=item.nodeid,
        form=FORM_RUN,
        seed=experiment.seed if experiment else 0,
        commit=commit,
        tree=tree,
        verdict=verdicts.get(outcome.outcome, "red"),
        seconds=round(outcome.duration, 1),
        why=str(outcome.longrepr[2]) if isinstance(outcome.longrepr, tuple) else "",
        figures=experiment.figures if experiment else None,
    )


@pytest.fixture
def seed(record_property: Callable[[str, object], None]) -> int:
    """The run's seed: shown with a failure, and repeatable through FAULTS_SEED."""
    value = int(os.environ.get("FAULTS_SEED", random.SystemRandom().randrange(1 << 32)))
    record_property("FAULTS_SEED", value)
    sys.stdout.write(f"FAULTS_SEED={value}\n")
    return value


@pytest.fixture
def scale() -> Scale:
    """The form that runs."""
    return Scale(is_long=FORM != "short")


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A scripted upstream on loopback."""
    async with Upstream(delay_seconds=0.005) as running:
        yield running


@pytest.fixture
async def experiment(
    request: pytest.FixtureRequest, tmp_path: Path, seed: int, scale: Scale, upstream: Upstream
) -> AsyncIterator[Experiment]:
    """An experiment that is watched; what still runs at its end is killed, by its pid."""
    sys.stdout.write(f"data in {tmp_path}\n")
    running = Experiment(tmp_path, seed, scale, upstream)
    request.node.stash[EXPERIMENT] = running
    async with running.watch:
        yield running
    await running.close()


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    """Disks of any size, seen by this process and its children only; skips where forbidden."""
    mounts = Mounts()
    yield mounts
    mounts.close()


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that experiments may hurt, and leave running."""
    # So that the server sees the disks that are mounted for it later.
    leave_the_namespace()
    server = make_server()
    yield server
    server.remove()


@pytest.fixture
async def database(experiment: Experiment, server: PostgresServer) -> Database:
    """A database of its own, which the experiment's daemons share."""
    experiment.database = await make_database(server)
    return experiment.database


@pytest.fixture
async def pods(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    seed: int,
    scale: Scale,
    upstream: Upstream,
    server: PostgresServer,
) -> AsyncIterator[Pods]:
    """An experiment whose daemons share a database; what still runs at its end is killed."""
    sys.stdout.write(f"data in {tmp_path}\n")
    pods = Pods(tmp_path, seed, scale, upstream, await make_database(server))
    request.node.stash[EXPERIMENT] = pods
    yield pods
    await pods.close()


@pytest.fixture
def make_daemon(experiment: Experiment) -> MakeDaemon:
    """Make daemons on the experiment's folder."""
    return experiment.make_daemon


@pytest.fixture
def ledger(experiment: Experiment) -> Ledger:
    """The experiment's ledger."""
    return experiment.ledger
