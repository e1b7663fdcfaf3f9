"""The rig: an upstream, a daemon process on a file, a ledger; data is kept when a test fails."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.ledger import Ledger
from tests.faults.process import DaemonProcess
from tests.faults.upstream import Upstream

SLOTS = 32
DRAIN_SECONDS = 10.0
PRE_DRAIN_SECONDS = 1.0

MakeDaemon = Callable[..., DaemonProcess]


def configuration(folder: Path, upstream: Upstream, **changes: Any) -> dict[str, Any]:
    """The fault plan's test configuration: short times, one queue called `work`."""
    return {
        "store": f"sqlite://{folder / 'tirelessd.db'}",
        "api": {"port": 0},
        "ops": {"port": 0},
        "pre_drain_seconds": PRE_DRAIN_SECONDS,
        "drain_seconds": DRAIN_SECONDS,
        "queues": {
            "work": {
                "handler": {"type": "http", "url": upstream.url, "attempt_timeout_seconds": 2},
                "slots": SLOTS,
                "lease_seconds": 5,
                "retry": {"max_attempts": 8, "initial_seconds": 0.2, "cap_seconds": 2},
            }
        },
        **changes,
    }


@pytest.fixture
def seed(record_property: Callable[[str, object], None]) -> int:
    """The run's seed: shown with a failure, and repeatable through TIRELESSD_TEST_SEED."""
    value = int(os.environ.get("TIRELESSD_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    record_property("TIRELESSD_TEST_SEED", value)
    sys.stdout.write(f"TIRELESSD_TEST_SEED={value}\n")
    return value


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """A scripted upstream on loopback."""
    async with Upstream(delay_seconds=0.005) as running:
        yield running


@pytest.fixture
async def make_daemon(tmp_path: Path, upstream: Upstream) -> AsyncIterator[MakeDaemon]:
    """Make daemons on one folder; whatever still runs at the end is killed, by its pid."""
    daemons: list[DaemonProcess] = []

    def make(**changes: Any) -> DaemonProcess:
        daemon = DaemonProcess(tmp_path, configuration(tmp_path, upstream, **changes))
        daemons.append(daemon)
        return daemon

    yield make
    for daemon in daemons:
        await daemon.kill()


@pytest.fixture
def ledger(tmp_path: Path, seed: int) -> Iterator[Ledger]:
    """An empty ledger."""
    book = Ledger(tmp_path / "ledger.txt", f"run-{seed}")
    yield book
    book.close()
