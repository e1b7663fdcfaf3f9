"""Spans on their way out: a bounded box, a thread that empties it, and no word to anybody else.

OpenTelemetry's own batch processor drops what does not fit without counting it, speaks of failures
in the log as often as they happen, and cannot be told how long its last flush may take.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tirelessd.core.events import Event, TraceExportFailed, TraceExportHealed

THREAD_NAME: Final = "traces"
# Some ten megabytes at the most.
BOX_SPANS: Final = 8_192
BATCH_SPANS: Final = 512
# How old a span may get before it leaves though the batch is not full.
LINGER_SECONDS: Final = 1.0


class Outbox(SpanProcessor):
    """Collects ended spans and exports them in batches; what does not fit is lost, and counted.

    `emit` is called in the event loop's thread: with each export that fails or finds that spans
    were lost, and with the first that succeeds again.
    """

    def __init__(
        self, exporter: SpanExporter, emit: Callable[[Event], None], box_spans: int = BOX_SPANS
    ) -> None:
        self._exporter = exporter
        self._emit = emit
        self._box_spans = box_spans
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._changed = threading.Condition()
        self._spans: list[ReadableSpan] = []
        self._overflow = 0
        self._lost = 0
        self._is_failing = False
        self._is_closing = False
        # A daemon thread: a collector that takes no bytes must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span; returns at once."""
        with self._changed:
            if len(self._spans) >= self._box_spans or self._is_closing:
                self._overflow += 1
                return
            self._spans.append(span)
            # The thread waits for a first one, and then for a full batch.
            if len(self._spans) in {1, BATCH_SPANS}:
                self._changed.notify()

    async def close(self, seconds: float) -> None:
        """Export what is there, in bounded time; nothing at all where exports fail anyway."""
        with self._changed:
            self._is_closing = True
            is_hopeless = self._is_failing
            self._changed.notify()
        if not is_hopeless:
            await asyncio.wait({self._ended}, timeout=seconds)
        # Interrupts an export between two of its tries.
        self._exporter.shutdown()

    def _work(self) -> None:
        while batch := self._take():
            self._send(batch)
        self._tell(self._finish)

    def _take(self) -> Sequence[ReadableSpan]:
        """The next batch, waiting until there is one; empty when closed and done, or hopeless."""
        with self._changed:
            while not self._spans and not self._is_closing:
                self._changed.wait()
            if not self._is_closing:
                self._changed.wait_for(self._is_due, LINGER_SECONDS)
            if self._is_closing and self._is_failing:
                return ()
            batch, self._spans = self._spans[:BATCH_SPANS], self._spans[BATCH_SPANS:]
            return batch

    def _is_due(self) -> bool:
        return len(self._spans) >= BATCH_SPANS or self._is_closing

    def _send(self, batch: Sequence[ReadableSpan]) -> None:
        try:
            is_taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001  (whatever it is, the spans are gone and are counted)
            is_taken = False
        with self._changed:
            lost, self._overflow = self._overflow, 0
        lost += 0 if is_taken else len(batch)
        self._report(lost, is_taken=is_taken)

    def _report(self, lost: int, *, is_taken: bool) -> None:
        was_failing, self._is_failing = self._is_failing, lost > 0
        self._lost += lost
        if lost:
            why = "spans came faster than they left" if is_taken else "the collector took none"
            self._tell(self._emit, TraceExportFailed(lost, why, is_first=not was_failing))
        elif was_failing:
            self._tell(self._emit, TraceExportHealed(self._lost))
            self._lost = 0

    def _finish(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _tell(self, listener: Callable[..., None], *words: object) -> None:
        try:
            self._loop.call_soon_threadsafe(listener, *words)
        except RuntimeError:
            if not self._loop.is_closed():  # a closed loop has nobody left who waits
                raise
