"""Traces of a daemon as its users run it, as a collector, an upstream and Prometheus see them."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.faults.process import DaemonProcess
from tests.faults.upstream import Upstream
from tests.live.server import Prometheus, free_port
from tests.observe.tracing.collector import Collector
from tests.waiting import wait_until

SECONDS = 15.0
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{CALLER}-00f067aa0ba902b7-01"


def settings(folder: Path, upstream: str, collector: str, *, enabled: bool = True) -> Any:
    """A daemon that retries at once and traces to a collector."""
    return {
        "store": f"sqlite://{folder}/items.db",
        "api": {"port": 0},
        "ops": {"port": 0},
        "log": {"level": "debug", "format": "json"},
        "tracing": {
            "enabled": enabled,
            "endpoint": collector,
            "headers": {"authorization": "Bearer canary"},
        },
        "queues": {
            "work": {
                "handler": {"type": "http", "url": upstream},
                "retry": {"initial_seconds": 0.1, "floor_seconds": 0.05, "max_attempts": 2},
            }
        },
    }


@asynccontextmanager
async def running(folder: Path, config: Any) -> AsyncIterator[DaemonProcess]:
    """A daemon, ended with the test."""
    daemon = DaemonProcess(folder, config)
    try:
        await daemon.start()
        yield daemon
    finally:
        await daemon.kill()


async def submit(daemon: DaemonProcess, payload: bytes, **headers: str) -> str:
    """Have an item accepted; its id."""
    async with aiohttp.ClientSession() as session:
        url = f"{daemon.urls['api']}/v1/queues/work/items"
        async with session.post(url, data=payload, headers=headers) as response:
            assert response.status == 202
            item_id: str = (await response.json())["id"]
            return item_id


def events(daemon: DaemonProcess, name: str) -> list[dict[str, Any]]:
    """The lines of one kind so far."""
    return [line for line in daemon.lines if line.get("event") == name]


async def metric(daemon: DaemonProcess, name: str) -> float:
    """The value of a series without labels."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(daemon.urls["ops"] + "/metrics") as response,
    ):
        text = await response.text()
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


async def test_a_trace_can_be_followed_from_the_caller_to_the_upstream_and_back(
    tmp_path: Path,
) -> None:
    """An item that fails, is retried and dies: its spans, its lines, and the exemplar of its end.

    The collector has the first attempt in the caller's trace and the second one linked to it; the
    upstream was told the context of each; the log has the ids; and Prometheus answers, asked for
    exemplars of given-up items, with the trace in which this one was given up.
    """
    async with Upstream() as upstream, Collector() as collector:
        config = settings(tmp_path, upstream.url, collector.url)
        async with running(tmp_path, config) as daemon:
            async with Prometheus(tmp_path) as prometheus:
                prometheus.watch(daemon.urls["ops"])
                item_id = await submit(daemon, b"fail:k:", traceparent=TRACEPARENT)
                await collector.wait_until(lambda: ends(collector) == 2)
                exemplars = await exemplars_of(prometheus, "tirelessd_items_dead_total")
            daemon.send(signal.SIGTERM)
            code = await daemon.wait(SECONDS)

    first, second = [span for span in collector.spans if span.name == "process work"]
    calls = {span.span_id: span for span in collector.spans if span.name == "POST"}
    told = [hit.headers["traceparent"].split("-") for hit in upstream.hits]
    assert code == 0
    assert not daemon.tracebacks()
    assert {span.name for span in collector.of(CALLER)} == {
        "POST /v1/queues/{queue}/items",
        "send work",
        "process work",
        "POST",
        "settle work",
    }
    assert first.trace_id == CALLER
    assert (second.parent_id, second.links) == ("", (CALLER,))
    assert [trace_id for _, trace_id, _, _ in told] == [CALLER, second.trace_id]
    parents = [calls[span_id].parent_id for _, _, span_id, _ in told]
    assert parents == [first.span_id, second.span_id]
    assert first.resource["service.name"] == "tirelessd"
    assert collector.headers[0]["authorization"] == "Bearer canary"
    (failed,), (dead,) = events(daemon, "attempt.failed"), events(daemon, "item.dead")
    assert (failed["trace_id"], failed["span_id"]) == (CALLER, first.span_id)
    assert (dead["trace_id"], dead["span_id"]) == (second.trace_id, second.span_id)
    assert (failed["item_id"], dead["item_id"]) == (item_id, item_id)
    assert exemplars == {(second.trace_id, second.span_id)}


def ends(collector: Collector) -> int:
    """How many attempts have been told."""
    return len([span for span in collector.spans if span.name == "process work"])


async def exemplars_of(prometheus: Prometheus, name: str) -> set[tuple[str, str]]:
    """The trace and span ids of a metric's exemplars, once there are any."""
    found: set[tuple[str, str]] = set()

    async def are_there() -> bool:
        # Exemplars have instants of their own, so all of time is asked for.
        for series in await prometheus.exemplars(name, 0, 4_000_000_000):
            for one in series["exemplars"]:
                found.add((one["labels"]["trace_id"], one["labels"]["span_id"]))
        return bool(found)

    await wait_until(are_there, SECONDS)
    return found


async def test_an_absent_collector_disturbs_nobody(tmp_path: Path) -> None:
    """Items are done, the loss is counted and said once, and the exit is as quick as ever."""
    nowhere = f"http://127.0.0.1:{free_port()}/v1/traces"
    async with Upstream() as upstream:
        config = settings(tmp_path, upstream.url, nowhere)
        async with running(tmp_path, config) as daemon:

            async def is_told() -> bool:
                await submit(daemon, b"ok:k:")
                return await metric(daemon, "tirelessd_trace_export_failures_total") > 0

            await wait_until(is_told, SECONDS)
            daemon.send(signal.SIGTERM)
            code = await daemon.wait(SECONDS)

    assert code == 0
    assert not daemon.tracebacks()
    assert len(events(daemon, "traces.lost")) == 1
    assert not events(daemon, "library.message")
    assert not events(daemon, "tasks.left_behind")


async def test_correlation_survives_without_tracing(tmp_path: Path) -> None:
    """The caller's own context reaches the upstream and the log; nothing points to spans."""
    async with Upstream() as upstream, Collector() as collector:
        config = settings(tmp_path, upstream.url, collector.url, enabled=False)
        async with running(tmp_path, config) as daemon:
            await submit(daemon, b"flaky:k:", traceparent=TRACEPARENT, tracestate="shop=1")

            async def is_done() -> bool:
                return bool(events(daemon, "item.succeeded"))

            await wait_until(is_done, SECONDS)

    assert {hit.headers["traceparent"] for hit in upstream.hits} == {TRACEPARENT}
    assert {hit.headers["tracestate"] for hit in upstream.hits} == {"shop=1"}
    assert [hit.headers["Tirelessd-Attempt"] for hit in upstream.hits] == ["1", "2"]
    assert events(daemon, "item.succeeded")[0]["trace_id"] == CALLER
    assert not collector.headers
