"""Spans leave in batches from a bounded box, and nobody waits for a collector."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tests.recorder import Recorder
from tirelessd.core.events import TraceExportFailed, TraceExportHealed
from tirelessd.observe.tracing.export import BATCH_SPANS, Outbox

BOX_SPANS = 2 * BATCH_SPANS
PATIENCE_SECONDS = 10.0
SPAN = ReadableSpan("work")


class Collector(SpanExporter):
    """Takes batches as it is told to: `answers` one after the other, then all is well."""

    def __init__(self, *answers: SpanExportResult | Exception) -> None:
        self.answers = list(answers)
        self.batches: list[int] = []
        self.is_shut_down = False
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep how many came, once open."""
        self.reached.set()
        self.open.wait(PATIENCE_SECONDS)
        self.batches.append(len(spans))
        answer = self.answers.pop(0) if self.answers else SpanExportResult.SUCCESS
        if isinstance(answer, Exception):
            raise answer
        return answer

    def shutdown(self) -> None:
        """Note it, and let go of whoever waits."""
        self.is_shut_down = True
        self.open.set()


@pytest.fixture
def told() -> Recorder:
    """What the rest of the daemon hears."""
    return Recorder()


@pytest.fixture
async def make_box(told: Recorder) -> AsyncIterator[Any]:
    """Make an outbox that the test need not close."""
    boxes: list[Outbox] = []

    def make(collector: Collector) -> Outbox:
        boxes.append(Outbox(collector, told, BOX_SPANS))
        return boxes[-1]

    yield make
    for box in boxes:
        await box.close(PATIENCE_SECONDS)


def put(box: Outbox, count: int) -> None:
    """End so many spans; what they say makes no difference here."""
    for _ in range(count):
        box.on_end(SPAN)


async def test_what_is_left_goes_with_the_end(make_box: Any) -> None:
    """In full batches and a rest, before `close` returns."""
    collector = Collector()
    box = make_box(collector)
    put(box, BATCH_SPANS + 3)

    await box.close(PATIENCE_SECONDS)

    assert sum(collector.batches) == BATCH_SPANS + 3
    assert max(collector.batches) <= BATCH_SPANS
    assert collector.is_shut_down


async def test_what_does_not_fit_is_counted(make_box: Any, told: Recorder) -> None:
    """While the collector is slow the box fills; what comes then is lost and said."""
    collector = Collector()
    collector.open.clear()
    box = make_box(collector)
    put(box, BATCH_SPANS)
    await asyncio.to_thread(collector.reached.wait, PATIENCE_SECONDS)

    put(box, BOX_SPANS + 5)
    collector.open.set()

    (failed,) = await told.wait_for(TraceExportFailed)
    assert (failed.lost, failed.is_first) == (5, True)


async def test_an_outage_is_said_once_and_its_end_too(make_box: Any, told: Recorder) -> None:
    """Each failed export is an event; the first one says that it is, the last one adds up."""
    collector = Collector(SpanExportResult.FAILURE, RuntimeError("no route"))
    box = make_box(collector)

    for count in (1, 2, 3):
        put(box, BATCH_SPANS)
        await told.wait_for(TraceExportHealed if count == 3 else TraceExportFailed, count % 3 or 1)

    failures = told.of(TraceExportFailed)
    assert [(one.lost, one.is_first) for one in failures] == [
        (BATCH_SPANS, True),
        (BATCH_SPANS, False),
    ]
    (healed,) = told.of(TraceExportHealed)
    assert healed.lost == 2 * BATCH_SPANS


async def test_nobody_waits_for_a_collector_that_hangs(make_box: Any) -> None:
    """The end comes when it was promised, and the exporter is told to stop."""
    collector = Collector()
    collector.open.clear()
    box = make_box(collector)
    put(box, BATCH_SPANS)
    await asyncio.to_thread(collector.reached.wait, PATIENCE_SECONDS)

    await box.close(0.01)

    assert collector.is_shut_down


async def test_nothing_is_tried_at_the_end_where_nothing_works(
    make_box: Any, told: Recorder
) -> None:
    """A collector that was gone a second ago is not waited for now."""
    collector = Collector(SpanExportResult.FAILURE)
    box = make_box(collector)
    put(box, BATCH_SPANS)
    await told.wait_for(TraceExportFailed)
    put(box, 3)

    await box.close(0.0)

    assert collector.batches == [BATCH_SPANS]
