"""What experiments with a shared store look for."""

from __future__ import annotations

from tests.exposition import Exposition
from tests.faults.experiment import Experiment
from tests.waiting import wait_until

# As the plan has it for a shared store.
RATE = 100.0
# So many that none waits for another one's answer before it can ask.
CALLERS = 100
MIXED = {"ok": 9, "flaky": 1}
NOTICED_SECONDS = 5.0
HEALED_SECONDS = 5.0


async def wait_unready(experiment: Experiment, cause: str) -> None:
    """Return once /readyz says not to send anything, and why."""

    async def is_unready() -> bool:
        return cause in await experiment.watch.ask("/readyz")

    await wait_until(is_unready, NOTICED_SECONDS)


async def wait_idle(experiment: Experiment) -> None:
    """Return once a scrape shows no connection in use."""

    async def is_idle() -> bool:
        said = Exposition(await experiment.watch.ask("/metrics"))
        return said.total("store_pool_connections", state="used") == 0

    await wait_until(is_idle, NOTICED_SECONDS)


def what_unknown_fates_break(experiment: Experiment) -> set[str]:
    """Books cannot be exact where a submission in flight has an unknown fate."""
    entries = experiment.ledger.entries
    return {"I6"} if any(entry.answer.get("accepted") == "unknown" for entry in entries) else set()
