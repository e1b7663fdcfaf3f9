"""A whole daemon's /metrics: complete from the start, bounded whatever callers send, and clean."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from tests.exposition import Exposition
from tests.waiting import wait_until
from tirelessd import __version__
from tirelessd.daemon import Daemon
from tirelessd.settings import parse

# The long form is asked for as those of the fault plan are.
ITEMS = 100_000 if os.environ.get("FAULTS") == "long" else 800
AT_ONCE = 16
REVISION = "719c83c"


class Site:
    """A daemon that sends canaries, and both of its listeners."""

    def __init__(self, daemon: Daemon, session: aiohttp.ClientSession) -> None:
        self.api = f"http://127.0.0.1:{daemon.api_port}"
        self._ops = f"http://127.0.0.1:{daemon.ops_port}"
        self.session = session

    async def scrape(self) -> str:
        """The exposition as text."""
        async with self.session.get(f"{self._ops}/metrics") as answer:
            return await answer.text()

    async def call(self, method: str, path: str, body: bytes = b"") -> int:
        """The status that a request is answered with."""
        async with self.session.request(method, self.api + path, data=body) as answer:
            await answer.read()
            return answer.status


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A daemon with a queue that echoes, one whose upstream is not there, and a canary."""
    monkeypatch.setenv("TIRELESSD_REVISION", REVISION)
    gone = {"type": "http", "url": "http://127.0.0.1:9/", "destination": "gone"}
    settings = parse(
        {
            "store": f"sqlite://{tmp_path / 'tirelessd.db'}",
            "api": {"port": 0},
            "ops": {"port": 0},
            "canary": {"interval_seconds": 1},
            "queues": {
                "echoes": {"handler": {"type": "echo"}},
                "lost": {"handler": gone, "retry": {"max_attempts": 1}},
            },
        }
    )
    daemon = Daemon(settings)
    await daemon.start()
    async with aiohttp.ClientSession() as session:
        yield Site(daemon, session)
    await daemon.stop()


def series(text: str) -> set[tuple[str, str]]:
    """Name and labels of every sample of ours."""
    return {
        (sample.name, str(sorted(sample.labels.items())))
        for family in families(text)
        for sample in family.samples
        if sample.name.startswith("tirelessd_")
    }


async def test_the_build_is_told(site: Site) -> None:
    """Two images of one version are told apart by the commit that each was built from."""
    told = re.findall(r'build_info{.*revision="(.*?)",version="(.*?)"', await site.scrape())

    assert told == [(REVISION, __version__)]


async def test_the_canary_is_seen(site: Site) -> None:
    """An alert has when it last came through and how often it should; nothing else counts it."""

    async def is_through() -> bool:
        shown = Exposition(await site.scrape())
        return shown.total("canary_last_success_timestamp_seconds") > 0

    await wait_until(is_through, 10)

    shown = Exposition(await site.scrape())
    assert shown.total("background_task_interval_seconds", task="canary") == 1
    assert shown.total("canary_round_trip_seconds_count") >= 1
    assert shown.total("canary_failures_total") == 0
    assert shown.total("items_accepted_total") == shown.total("attempts_total") == 0
    assert shown.total("queue_items") == 0
    assert not shown.has("metric_label_overflow_total")


async def test_the_process_is_at_rest(site: Site) -> None:
    """Its tasks are known by kind, its clock is the store's, and no connection is open."""
    shown = Exposition(await site.scrape())

    assert abs(shown.total("clock_skew_seconds")) < 1
    # Twenty slots for each queue, and the canary's.
    assert shown.total("asyncio_tasks", kind="slot") == 41
    assert shown.total("asyncio_tasks", kind="request") == 1
    assert shown.total("asyncio_tasks", kind="other") < 8
    assert shown.total("upstream_connections") == 0


@pytest.mark.timeout(600)
async def test_no_caller_can_make_a_series(site: Site) -> None:
    """Queues, paths and ids that nobody foresaw, and destinations that fail, leave the same set."""
    before = series(await site.scrape())
    source = random.Random(11)
    gate = asyncio.Semaphore(AT_ONCE)

    async def call_somehow() -> int:
        word = f"{source.getrandbits(64):x}"
        path, body = source.choice(
            [
                ("/v1/queues/echoes/items", word.encode()),
                ("/v1/queues/lost/items", word.encode()),
                (f"/v1/queues/{word}/items", b""),
                ("/v1/queues/__canary__/items", b""),
                (f"/{word}/{word}", b""),
                (f"/v1/items/{word}", b""),
            ]
        )
        async with gate:
            return await site.call("POST", path, body)

    statuses = await asyncio.gather(*(call_somehow() for _ in range(ITEMS)))

    async def is_done() -> bool:
        shown = Exposition(await site.scrape())
        return shown.total("items_accepted_total") == shown.total("items_completed_total")

    await wait_until(is_done, 120)
    text = await site.scrape()
    shown = Exposition(text)
    assert series(text) == before
    assert set(statuses) == {202, 404, 405}
    assert shown.total("items_accepted_total") == statuses.count(202)
    failed = shown.total("upstream_requests_total", destination="gone", code_class="none")
    assert failed == shown.total("items_completed_total", queue="lost", outcome="dead")
    assert shown.total("upstream_requests_total") == failed > 0


async def test_promtool_finds_nothing_to_mend(site: Site) -> None:
    """The linter of Prometheus is silent about every family there is."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is not on PATH; `make test` provides it"
    pipe = asyncio.subprocess.PIPE

    linter = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await linter.communicate((await site.scrape()).encode())

    assert (linter.returncode, said) == (0, b"")
