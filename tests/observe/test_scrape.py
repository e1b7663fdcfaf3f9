"""A scrape over HTTP is what Prometheus and its tools take, rendered beside the event loop."""

from __future__ import annotations

import asyncio
import shutil
import threading
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterable, Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from pytest_aiohttp import AiohttpClient

from tests.observe.events import EXAMPLES, make_metrics, value
from tests.waiting import a_moment, wait_until
from tirelessd.core.queue import QueueConfig
from tirelessd.observe.metrics import Metrics
from tirelessd.observe.scrape import CROWD, WAITING_KINDS, ScrapeHandler

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of two queues after one event of every kind."""
    metrics = make_metrics(QueueConfig("work"), QueueConfig("play"))
    for event in EXAMPLES:
        metrics(event)
    metrics.catch_up()
    return metrics


class Refresher:
    """Remembers in which thread it was asked to refresh."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def __call__(self) -> None:
        """Refresh nothing."""
        self.threads.append(threading.current_thread())


@pytest.fixture
def refresh() -> Refresher:
    """What is called before each scrape."""
    return Refresher()


@pytest.fixture
def handler(metrics: Metrics, refresh: Refresher) -> Iterator[ScrapeHandler]:
    """The handler of /metrics."""
    handler = ScrapeHandler(metrics.registry, refresh)
    yield handler
    handler.close()


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, handler: ScrapeHandler) -> Client:
    """A client of a server with nothing but /metrics."""
    app = web.Application()
    app.router.add_get("/metrics", handler.__call__)
    return await aiohttp_client(app)


async def scrape(client: Client, accept: str, path: str = "/metrics") -> str:
    """The text of a scrape."""
    response = await client.get(path, headers={"Accept": accept})
    assert response.status == 200
    return await response.text()


def samples_of(families: Iterable[Metric]) -> dict[tuple[str, str], float]:
    """Samples by name and labels."""
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_promtool_finds_nothing_to_mend(client: Client) -> None:
    """Names, units and help are what Prometheus's own linter wants."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is not on PATH; `make test` provides it"
    text = await scrape(client, "text/plain; version=0.0.4")

    linter = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await linter.communicate(text.encode())

    assert (linter.returncode, said) == (0, b"")


async def test_both_formats_say_the_same(client: Client) -> None:
    """OpenMetrics is valid by its own strict parser, and has the same samples as the text."""
    text = samples_of(parse_text(await scrape(client, "text/plain")))
    openmetrics = samples_of(parse_openmetrics(await scrape(client, OPENMETRICS)))

    own = {key for key in text if key[0].startswith("tirelessd_")}
    assert own
    assert {key: text[key] for key in own} == {key: openmetrics[key] for key in own}


async def test_a_scraper_gets_the_format_it_asks_for(client: Client) -> None:
    """OpenMetrics on request, the text format for everybody else."""
    asked = await client.get("/metrics", headers={"Accept": OPENMETRICS})
    plain = await client.get("/metrics", headers={"Accept": "*/*"})

    assert asked.content_type == "application/openmetrics-text"
    assert plain.content_type == "text/plain"


async def test_gzip_is_for_those_who_take_it(client: Client) -> None:
    """The same families, in far fewer bytes."""
    packed = await client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("/metrics", headers={"Accept-Encoding": "identity"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 5
    assert names_of(await packed.text()) == names_of(await plain.text())


def names_of(text: str) -> set[str]:
    """The names of all samples in a text."""
    return {name for name, _ in samples_of(parse_text(text))}


async def test_a_scrape_can_be_narrowed(client: Client) -> None:
    """`name[]` asks for single families, as with other exporters."""
    text = await scrape(client, "*/*", "/metrics?name[]=tirelessd_items_accepted_total")

    assert names_of(text) == {"tirelessd_items_accepted_total"}


async def test_readings_are_taken_in_the_loop_s_thread(client: Client, refresh: Refresher) -> None:
    """The engine's state belongs to that thread; a scrape reads it there, once."""
    await scrape(client, "*/*")

    assert refresh.threads == [threading.current_thread()]


async def test_rendering_happens_in_another_thread(client: Client, metrics: Metrics) -> None:
    """Some thousand series take tens of milliseconds, which the loop has other uses for."""
    threads = ThreadsThatCollect()
    metrics.registry.register(threads)

    await scrape(client, "*/*")

    assert threads.seen
    assert threading.current_thread() not in threads.seen


class ThreadsThatCollect:
    """A collector that remembers who collects."""

    def __init__(self) -> None:
        self.seen: set[threading.Thread] = set()

    def collect(self) -> list[Metric]:
        """No metrics."""
        self.seen.add(threading.current_thread())
        return []


async def test_what_is_scraped_is_what_was_counted(client: Client, metrics: Metrics) -> None:
    """The text shows the registry's values."""
    text = samples_of(parse_text(await scrape(client, "*/*")))

    key = ("tirelessd_items_accepted_total", "[('queue', 'work')]")
    assert text[key] == value(metrics, "items_accepted_total", queue="work") == 1


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=9.ä",
        "application/openmetrics-text; version=x",
        'application/openmetrics-text; version="1;x"',
        "application/openmetrics-text; version=1.1.<script>",
        "application/openmetrics-text; version=",
        "text/plain; version=1.0.0.0.0.0.0",
        ";;;=,,,",
        "a" * 8_000,
    ],
)
async def test_nonsense_is_answered_in_the_oldest_format(client: Client, accept: str) -> None:
    """Whatever a header asks for, the answer is metrics, and says nothing of the header."""
    response = await client.get("/metrics", headers={"Accept": accept})

    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_scrapes_that_wait_share_one_rendering(
    client: Client, metrics: Metrics, refresh: Refresher
) -> None:
    """A crowd of scrapers costs two renderings: the one that runs and the one that waits."""
    gate = Gate()
    metrics.registry.register(gate)
    first = asyncio.ensure_future(scrape(client, "*/*"))
    await asyncio.to_thread(gate.entered.wait)

    crowd = [asyncio.ensure_future(scrape(client, "*/*")) for _ in range(50)]
    await all_have_asked(client, 51)
    gate.leave.set()
    texts = await asyncio.gather(first, *crowd)

    assert len(refresh.threads) == gate.times == 2
    assert len(set(texts[1:])) == 1


async def test_rendering_rests_after_a_crowd(client: Client, metrics: Metrics) -> None:
    """So that a flood of scrapes leaves the interpreter to others; a single scraper never waits."""
    gate = Gate()
    metrics.registry.register(gate)
    first = asyncio.ensure_future(scrape(client, "*/*"))
    await asyncio.to_thread(gate.entered.wait)
    crowd = [asyncio.ensure_future(scrape(client, "*/*")) for _ in range(CROWD + 1)]
    await all_have_asked(client, 1 + len(crowd))
    gate.leave.set()
    await asyncio.gather(first, *crowd)

    last = asyncio.ensure_future(scrape(client, "*/*"))
    more = [asyncio.ensure_future(scrape(client, "*/*")) for _ in range(CROWD)]
    await asyncio.gather(last, *more)

    assert gate.times == 3


async def test_too_many_kinds_of_scrapes_at_once_are_refused(
    client: Client, metrics: Metrics
) -> None:
    """Names are the scraper's to choose, so that each may be a kind of its own."""
    gate = Gate()
    metrics.registry.register(gate)
    first = asyncio.ensure_future(scrape(client, "*/*"))
    await asyncio.to_thread(gate.entered.wait)

    paths = [f"/metrics?name[]=n{number}" for number in range(3 * WAITING_KINDS)]
    crowd = [asyncio.ensure_future(client.get(path)) for path in paths]
    await all_have_asked(client, 1 + len(crowd))
    gate.leave.set()
    responses = await asyncio.gather(*crowd)
    await first

    refused = [response for response in responses if response.status == 503]
    assert len(responses) - len(refused) == WAITING_KINDS - 1
    assert {response.headers["Retry-After"] for response in refused} == {"1"}


class Gate:
    """A collector that lets nobody pass until it is told to."""

    def __init__(self) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()
        self.times = 0

    def describe(self) -> list[Metric]:
        """Nothing; without this a collector is asked to collect when it is registered."""
        return []

    def collect(self) -> list[Metric]:
        """No metrics, when it is time."""
        self.times += 1
        self.entered.set()
        assert self.leave.wait(10)
        return []


async def all_have_asked(client: Client, count: int) -> None:
    """Return when so many requests have reached their handler."""
    runner = client.server.runner
    assert runner is not None

    async def have_asked() -> bool:
        assert runner.server is not None
        return runner.server.requests_count >= count

    await wait_until(have_asked, 10)
    # Counted before its handler's task has had its first step.
    await a_moment()
