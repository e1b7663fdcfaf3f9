"""C3: odd bodies are refused with a reason or arrive at the upstream byte for byte; never a 5xx."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from tests.faults.database import make_database
from tests.faults.experiment import Experiment
from tests.faults.odd_bodies import BODIES, CONTENT_TYPES, LARGEST_BYTES
from tests.waiting import a_moment, wait_until

LAG_SECONDS = 0.1
PROBE_SECONDS = 0.005
OPTION_LINES = (
    b'{"payload":1,"priority":1e999}',
    b'{"payload":1,"delay_seconds":NaN}',
    b'{"payload":1,"delay_seconds":1e999}',
    b'{"payload":1,"deadline_seconds":-1}',
    b'{"payload":1,"priority":' + b"9" * 5_000 + b"}",
    b'{"payload":1,"idempotency_key":"\\u0000"}',
    b'{"payload":1,"idempotency_key":"' + b"k" * 1_000_000 + b'"}',
    b'{"payload":1,"not_before":"+999999-01-01T00:00:00Z"}',
    b'{"payload":1,"not_before":"9999-12-31T23:59:59Z"}',
    b'{"payload":1,"\\u0000":1}',
    b'{"payload":1,"' + b"k" * 1_000_000 + b'":1}',
    b"[" * 100_000,
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], autouse=True)
async def store(request: pytest.FixtureRequest, experiment: Experiment) -> None:
    """Either store: the verdicts are the same."""
    if request.param == "postgresql":
        experiment.database = await make_database(request.getfixturevalue("server"))


@dataclass
class Client:
    """Sends bodies, and remembers which bytes each accepted item must have at the upstream."""

    experiment: Experiment
    session: aiohttp.ClientSession
    digests: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)

    async def post(self, path: str, body: bytes, content_type: str) -> dict[str, Any]:
        """The answer's document."""
        headers = {"Content-Type": content_type}
        url = self.experiment.url(path)
        async with self.session.post(url, data=io.BytesIO(body), headers=headers) as response:
            self.statuses.append(response.status)
            answer: dict[str, Any] = await response.json(content_type=None)
        return answer

    async def submit(self, body: bytes, content_type: str = "application/json") -> bool:
        """Whether a single item of these bytes is accepted."""
        answer = await self.post("/v1/queues/work/items", body, content_type)
        return self._note(answer, body)

    async def submit_line(self, body: bytes) -> bool:
        """Whether a batch of one line with this payload is accepted."""
        line = b'{"payload":' + body + b"}"
        answer = await self.post("/v1/queues/work/batch", line, "application/x-ndjson")
        # The spaces around a payload are the line's and not its own.
        results = answer.get("results", [{"problem": answer}])
        return sum(self._note(each, body.strip(b" \t")) for each in results) == len(results)

    def _note(self, answer: dict[str, Any], body: bytes) -> bool:
        if "id" in answer:
            self.digests[answer["id"]] = hashlib.sha256(body).hexdigest()
        else:
            problem = answer.get("problem", answer)
            assert problem["code"]
            assert len(problem["detail"]) <= 500
        return "id" in answer


@asynccontextmanager
async def measured_lag(experiment: Experiment) -> AsyncIterator[Callable[[], float]]:
    """The longest that the daemon's loop let a probe wait; the rig's own lateness taken off."""
    began_at = asyncio.get_running_loop().time()

    async def ask() -> None:
        while True:
            await experiment.watch.ask("/livez")
            await a_moment(PROBE_SECONDS)

    def longest() -> float:
        probes = experiment.watch.seen("/livez", began_at)
        return max(probe.seconds - probe.rig_late_seconds for probe in probes)

    asking = asyncio.get_running_loop().create_task(ask())
    try:
        yield longest
    finally:
        asking.cancel()
        await asyncio.wait({asking})


@asynccontextmanager
async def client_of(experiment: Experiment) -> AsyncIterator[Client]:
    """A client of a fresh daemon; at the end what was accepted has arrived, and no more."""
    daemon = await experiment.start()
    async with aiohttp.ClientSession() as session:
        client = Client(experiment, session)
        yield client
        hits = experiment.upstream.hits

        async def have_arrived() -> bool:
            return len({hit.item_id for hit in hits if hit.status}) >= len(client.digests)

        await wait_until(have_arrived, 20)
    assert {hit.item_id: hit.digest for hit in hits} == client.digests
    assert [status for status in client.statuses if status >= 500] == []
    assert [line for line in daemon.lines if line["level"] in {"warning", "error"}] == []
    assert daemon.tracebacks() == []
    assert await experiment.stop() == 0


@pytest.mark.row("C3")
async def test_bodies_arrive_as_they_were_sent_or_are_refused_with_a_reason(
    experiment: Experiment,
) -> None:
    """Every body as an item and as a line has the verdict of the table; the loop stays free."""
    async with client_of(experiment) as client, measured_lag(experiment) as longest_lag:
        as_items = {name: await client.submit(body.content) for name, body in BODIES.items()}
        as_lines = {name: await client.submit_line(body.content) for name, body in BODIES.items()}

        assert as_items == dict.fromkeys(BODIES, True)
        assert as_lines == {name: body.is_json for name, body in BODIES.items()}
        assert longest_lag() < LAG_SECONDS


@pytest.mark.row("C3")
async def test_content_types_are_kept_and_never_believed(experiment: Experiment) -> None:
    """A payload is not decoded; what is read here is UTF-8, and everything else 415."""
    async with client_of(experiment) as client:
        for content_type in CONTENT_TYPES:
            assert await client.submit(b"\xff\x00" + content_type.encode(), content_type)
        kept = {hit.headers["Content-Type"] for hit in experiment.upstream.hits}
        others = [
            await client.post(path, b"{}", content_type)
            for content_type in CONTENT_TYPES
            for path in ("/v1/queues/work/batch", "/v1/dead-letters/redrive")
        ]

        assert kept <= set(CONTENT_TYPES)
        assert {answer["code"] for answer in others} == {"unsupported_media_type"}


@pytest.mark.row("C3")
async def test_odd_documents_are_malformed_and_change_nothing(experiment: Experiment) -> None:
    """Every body where a document, a number or a line is wanted: 4xx, and the loop stays free."""
    async with client_of(experiment) as client, measured_lag(experiment) as longest_lag:
        for body in BODIES.values():
            content = body.content[: LARGEST_BYTES - 100]
            await client.post("/v1/dead-letters/redrive", content, "application/json")
            redrive = b'{"ids":' + content + b"}"
            await client.post("/v1/dead-letters/redrive", redrive, "application/json")
            answer = await client.post("/v1/queues/work/batch", content, "application/x-ndjson")
            assert answer["code"] == "batch_rejected"
        for line in OPTION_LINES:
            answer = await client.post("/v1/queues/work/batch", line, "application/x-ndjson")
            assert answer["code"] == "batch_rejected", line[:60]

        assert {status for status in client.statuses if status < 400} <= {202}
        assert longest_lag() < LAG_SECONDS
