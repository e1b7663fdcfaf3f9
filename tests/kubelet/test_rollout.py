"""A pod is replaced under load: nothing is lost, and callers are told when to come back."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from tests.faults.books import Books
from tests.kubelet.callers import Seen, seen_by_callers
from tests.kubelet.cluster import Cluster
from tests.kubelet.figures import note
from tests.kubelet.pod import Ending
from tests.waiting import a_moment

ROLLOUTS = int(os.environ.get("ROLLOUTS") or 100)
BETWEEN_SECONDS = 0.3
# So many times what it usually takes, and then more than the pre-drain.
SLOW_NEWS = 3


@pytest.mark.timeout(1200)
async def test_rollouts_under_load_lose_and_abandon_nothing(cluster: Cluster) -> None:
    """Each pod ends by itself in its grace; what a caller sees is 202, 503, or nobody there."""
    rollouts = cluster.experiment.scale.pick(1, ROLLOUTS)
    pod = await cluster.install()
    await pod.wait_ready()

    async with cluster.callers() as callers:
        for number in range(rollouts):
            cluster.tell_late(1 if number % 2 else SLOW_NEWS)
            await callers.wait_calm()
            await a_moment(BETWEEN_SECONDS)
            await cluster.roll_out()

    books = await cluster.finish()
    endings = [ending for pod in cluster.pods for ending in pod.endings]
    seen = seen_by_callers(cluster.experiment.ledger.entries)
    note("rollouts", **figures(books, seen, endings, drained(cluster)))
    assert [ending.code for ending in endings] == [0] * rollouts
    assert sum(pod.restarts for pod in cluster.pods) == 0
    assert drained(cluster)["abandoned"] == 0
    assert set(seen.answers) <= {"202", "503", "refused"}
    assert books.duplicates == 0


def drained(cluster: Cluster) -> dict[str, int]:
    """What became of leased items at the drains, by the log of every process."""
    drains = [line for line in cluster.experiment.daemon.lines if line["event"] == "drain.finished"]
    assert len(drains) == len(cluster.experiment.daemon.ends)
    return {
        name: sum(line[name] for line in drains) for name in ("finished", "released", "abandoned")
    }


def figures(
    books: Books, seen: Seen, endings: Sequence[Ending], drained: dict[str, int]
) -> dict[str, object]:
    """What a run came to."""
    seconds = sorted(ending.seconds for ending in endings)
    return {
        "rollouts": len(endings),
        "accepted": len(books.acked),
        "lost": len(books.lost),
        "duplicates": books.duplicates,
        "drained": drained,
        "answers": dict(seen.answers),
        "seconds_to_end": {
            "median": round(seconds[len(seconds) // 2], 2),
            "longest": round(seconds[-1], 2),
        },
        "callers_who_waited": len(seen.waits),
        "seconds_waited": {"median": round(seen.wait(0.5), 2), "longest": round(seen.wait(1.0), 2)},
    }
