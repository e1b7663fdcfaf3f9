"""U6: an upstream cannot send an item anywhere else."""

from __future__ import annotations

import aiohttp
import pytest

from tests.faults.experiment import Experiment
from tests.faults.raw_upstream import Canary, RawUpstream, answer

STATUSES = (300, 301, 302, 303, 305, 307, 308)


@pytest.mark.row("U6")
@pytest.mark.long
async def test_redirect_is_never_followed(experiment: Experiment) -> None:
    """To a canary, to itself or to nowhere: one POST, no second request, and a dead letter."""
    async with Canary() as canary, Canary("::1") as other, RawUpstream() as upstream:
        targets = {
            "canary": f"http://{canary.address}/",
            "ipv6": f"http://{other.address}/",
            "scheme": f"//{canary.address}/",
            "loop": upstream.url,
            "path": "/elsewhere",
            "file": "file:///etc/passwd",
            "user": f"http://user:word@{canary.address}/",
            "none": "",
        }
        upstream.replies = {
            f"{name}-{status}": answer(status, b"", f"Location: {target}", "Refresh: 0; url=/")
            for name, target in targets.items()
            for status in STATUSES
        }
        experiment.upstream = upstream
        await experiment.start()

        async with aiohttp.ClientSession() as session:
            for word in upstream.replies:
                await experiment.ledger.submit(session, experiment.url(), word)
        books = await experiment.finish()

    assert (canary.connections, other.connections) == (0, 0)
    assert upstream.lines == [b"POST / HTTP/1.1"] * len(upstream.replies)
    assert {item["state"] for item in books.items.values()} == {"dead"}
    assert {item["last_error"]["reason"] for item in books.items.values()} == {"http_3xx"}
