"""Taking many items at once: `POST /v1/queues/{queue}/batch`.

The body is NDJSON. Every line counts, blank ones too, and keeps its number; blank ones are skipped.
Sizes are checked before anything is stored. Then the lines go through slice by slice, each slice
one commit; a bad line costs only itself, and a store that fails costs what it has not yet taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from aiohttp import web

from tirelessd.api.answers import REPLAYED, json_answer
from tirelessd.api.auth import Caller
from tirelessd.api.body import check_media_type, read_pieces
from tirelessd.api.headers import Headers, forwarded
from tirelessd.api.limits import Limits
from tirelessd.api.malformed import UNREADABLE, malformed
from tirelessd.api.options import BatchLine, line_options, sent_options
from tirelessd.api.problems import problem_of
from tirelessd.api.query import refuse_query
from tirelessd.api.refusals import BatchRejected, too_long_line, too_many_lines
from tirelessd.api.services import TRACE, Services
from tirelessd.api.shapes import BatchReceipt, LineResult
from tirelessd.core.errors import (
    CommitUnknown,
    Draining,
    InvalidRequest,
    QueueFull,
    Rejected,
    StoreError,
    StoreUnavailable,
)
from tirelessd.core.queue import QueueConfig
from tirelessd.core.trace import TraceContext
from tirelessd.engine.intake import Intake, Submission
from tirelessd.store.base import Accepted, Replayed

BATCH_TYPE: Final = "application/x-ndjson"
LINE_TYPE: Final = "application/json"
SLICE_LINES: Final = 1_000
SLICE_BYTES: Final = 4_194_304

Refusal = Rejected | StoreError
Outcome = Accepted | Replayed | Refusal
_decoder: Final = msgspec.json.Decoder(BatchLine)


class Envelope(msgspec.Struct, frozen=True):
    """What all lines of a batch have in common; `now` in epoch seconds bounds their options."""

    now: float
    headers: Mapping[str, str]
    trace: TraceContext | None = None


async def submit_batch(services: Services, request: web.Request, caller: Caller) -> web.Response:
    """Store every good line; answer, when all of it is durable, what became of each."""
    queue = request.match_info["queue"]
    caller.check_queue(queue)
    config = services.intake.queue(queue)
    refuse_query(request)
    check_media_type(request, BATCH_TYPE)
    headers = read_envelope_headers(request.headers, config)
    envelope = Envelope(services.clock.wall(), headers, request.get(TRACE))
    limits = services.limits
    splitter = LineSplitter(limits)
    await read_pieces(services, request, limits.batch_bytes, splitter.take)
    return batch_answer(await store_lines(services.intake, queue, splitter.end(), envelope))


def read_envelope_headers(headers: Headers, config: QueueConfig) -> Mapping[str, str]:
    """The request's own headers; raises `InvalidRequest` for options, which stand in the lines."""
    # Ignored in silence they would be wishes that nobody hears.
    for name in sent_options(headers):
        raise InvalidRequest(name, "is an option of one item; in a batch it stands in the lines")
    return forwarded(headers, config)


class LineSplitter:
    """Splits a batch as it arrives.

    So one beyond its limits is not held to its end, and the body is in memory once, as its lines:
    a whole body, its pieces and its lines would be three times as much.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lines: list[bytes] = []
        self._open: list[bytes] = []
        self._open_bytes = 0

    def take(self, piece: bytes) -> None:
        """Take the next piece in; raises `BatchTooLarge`."""
        # Counted before the split: a piece of nothing but newlines would make as many objects.
        if len(self._lines) + piece.count(b"\n") > self._limits.batch_lines:
            raise too_many_lines(self._limits)
        first, *others = piece.split(b"\n")
        self._extend(first)
        for line in others:
            self._close()
            self._extend(line)

    def end(self) -> Sequence[bytes]:
        """The lines, the last one with or without its newline; raises `BatchTooLarge`."""
        if self._open_bytes:
            if len(self._lines) == self._limits.batch_lines:
                raise too_many_lines(self._limits)
            self._close()
        return self._lines

    def _extend(self, part: bytes) -> None:
        self._open.append(part)
        self._open_bytes += len(part)
        if self._open_bytes > self._limits.body_bytes:
            raise too_long_line(len(self._lines) + 1, self._limits)

    def _close(self) -> None:
        self._lines.append(b"".join(self._open))
        self._open, self._open_bytes = [], 0


async def store_lines(
    intake: Intake, queue: str, lines: Sequence[bytes], envelope: Envelope
) -> Sequence[tuple[int, Outcome]]:
    """Store the lines slice by slice; what became of each that is not blank, by its number."""
    outcomes: list[tuple[int, Outcome]] = []
    failure: StoreError | None = None
    for part in slices(lines):
        if failure is not None:
            # Of what was never handed to the store, nothing is unknown.
            outcomes += [(number, failure) for number, _ in part]
            continue
        stored = await store_slice(intake, queue, part, envelope)
        outcomes += stored
        if any(isinstance(outcome, StoreError) for _, outcome in stored):
            failure = StoreUnavailable("not tried: the store failed on an earlier line")
        # A slice of nothing but bad lines has not waited for anything yet: let others have a turn.
        await asyncio.sleep(0)
    return outcomes


def slices(lines: Sequence[bytes]) -> Iterator[Sequence[tuple[int, bytes]]]:
    """Lines that are not blank, with their numbers, as many at a time as one commit takes.

    Bounded in bytes too, so that the loop is never held for long by reading large lines.
    """
    part: list[tuple[int, bytes]] = []
    size_bytes = 0
    for number, line in enumerate(lines, 1):
        if not line or line.isspace():
            continue
        if len(part) == SLICE_LINES or (part and size_bytes + len(line) > SLICE_BYTES):
            yield part
            part, size_bytes = [], 0
        part.append((number, line))
        size_bytes += len(line)
    if part:
        yield part


async def store_slice(
    intake: Intake, queue: str, lines: Sequence[tuple[int, bytes]], envelope: Envelope
) -> Sequence[tuple[int, Outcome]]:
    """Store the good ones of these lines in one commit."""
    read = [(number, read_line(line, envelope)) for number, line in lines]
    good = [one for _, one in read if isinstance(one, Submission)]
    answers: Sequence[Outcome] = ()
    if good:
        try:
            answers = await intake.accept_slice(queue, good)
        except StoreError as error:
            # One commit, one fate: what is known of it is known of all its lines.
            answers = [error] * len(good)
    in_order = iter(answers)
    return [
        (number, next(in_order) if isinstance(one, Submission) else one) for number, one in read
    ]


def read_line(line: bytes, envelope: Envelope) -> Submission | InvalidRequest:
    """One line as a submission, or what is wrong with it."""
    try:
        if not line.isascii():
            # A raw payload is skipped over, not decoded: its text is checked here.
            line.decode()
        read = _decoder.decode(line)
        options = line_options(read, envelope.now)
    except InvalidRequest as refusal:
        return refusal
    except UNREADABLE as error:
        return malformed(error, "line")
    return Submission(bytes(read.payload), LINE_TYPE, envelope.headers, options, envelope.trace)


def batch_answer(outcomes: Sequence[tuple[int, Outcome]]) -> web.Response:
    """202 if any line was accepted; else raises `BatchRejected` with all that was found."""
    # A full queue refuses thousands of lines with one error, which is put into words once.
    errors = {outcome for _, outcome in outcomes if isinstance(outcome, Refusal)}
    problems = {error: problem_of(error, is_submit=True) for error in errors}
    results = [
        LineResult(number, problem=problems[outcome])
        if isinstance(outcome, Refusal)
        else line_receipt(number, outcome)
        for number, outcome in outcomes
    ]
    if all(isinstance(one, Refusal) for _, one in outcomes):
        raise BatchRejected(results, common_cause(errors))
    is_new = any(isinstance(outcome, Accepted) for _, outcome in outcomes)
    return json_answer(BatchReceipt(results), 202, None if is_new else {REPLAYED: "true"})


def line_receipt(number: int, outcome: Accepted | Replayed) -> LineResult:
    """The result of a line that stands for an item."""
    if isinstance(outcome, Replayed):
        return LineResult(number, outcome.id, replayed=True)
    return LineResult(number, outcome.id)


def common_cause(errors: set[Refusal]) -> Refusal | None:
    """Why a batch without a fault of its own was refused: the store, the queue or the shutdown."""
    # The unknown first: a caller must not be told that nothing was stored if something may be.
    for kinds in (CommitUnknown, StoreError, (QueueFull, Draining)):
        for error in errors:
            if isinstance(error, kinds):
                return error
    return None
