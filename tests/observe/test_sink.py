"""Nothing that standard error does, or does not do, holds up or ends the daemon."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.observe.events import PATIENCE_SECONDS, CountingTally
from tirelessd.observe.sink import Sink

LINE: Final = "x" * 99
PIPE_BYTES: Final = 4096


class Pipe:
    """A pipe whose one end a sink writes to."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def read(self) -> bytes:
        """What is there, waiting for something; b"" at the end."""
        ready, _, _ = select.select([self.reader], [], [], PATIENCE_SECONDS)
        assert ready, "nothing came"
        return os.read(self.reader, 1 << 20)

    def read_lines(self, count: int) -> list[str]:
        """So many lines."""
        text = b""
        while text.count(b"\n") < count:
            text += self.read()
        return text.decode().splitlines()

    def read_until(self, last: str) -> list[str]:
        """Lines until the one that ends with a word."""
        text = b""
        while not text.endswith(f"{last}\n".encode()):
            text += self.read()
        return text.decode().splitlines()

    def fill(self) -> None:
        """Let nothing more fit in."""
        while select.select([], [self.writer], [], 0)[1]:
            os.write(self.writer, b"\n" * PIPE_BYTES)

    def close(self) -> None:
        """Close what is still open."""
        for descriptor in (self.reader, self.writer):
            try:
                os.close(descriptor)
            except OSError:
                continue


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Standard error's stand-in."""
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def tally() -> CountingTally:
    """What counts lines."""
    return CountingTally()


def loss(count: int) -> str:
    """The line about lines that are missing."""
    return f"{count} missing"


def test_lines_come_whole_and_in_order(pipe: Pipe, tally: CountingTally) -> None:
    """However they are gathered into writes."""
    sink = Sink(pipe.writer, tally, loss)
    lines = [f"line {number}" for number in range(1_000)]

    for line in lines:
        sink.write(line)

    assert pipe.read_lines(len(lines)) == lines
    assert sink.close(PATIENCE_SECONDS)


def test_close_writes_what_was_taken(tmp_path: Path, tally: CountingTally) -> None:
    """The last words of a daemon are often the ones that matter."""
    path = tmp_path / "log"
    with path.open("w") as stream:
        sink = Sink(stream.fileno(), tally, loss)
        for number in range(100):
            sink.write(str(number))

        assert sink.close(PATIENCE_SECONDS)

    assert path.read_text().splitlines() == [str(number) for number in range(100)]


def test_a_reader_that_stops_reading_blocks_nobody(pipe: Pipe, tally: CountingTally) -> None:
    """Lines wait in a bounded list; what does not fit is counted, and told when reading goes on."""
    pipe.fill()
    sink = Sink(pipe.writer, tally, loss, backlog_bytes=10 * (len(LINE) + 1))

    for _ in range(100):
        sink.write(LINE)
    tally.wait_suppressed(80)
    waiting = 100 - tally.suppressed
    lines = pipe.read_until(LINE)
    sink.write("after")
    lines += pipe.read_until("after")

    assert lines.count(LINE) == waiting
    assert f"{tally.suppressed} missing" in lines
    assert sink.close(PATIENCE_SECONDS)


def test_close_does_not_wait_for_a_stuck_reader(pipe: Pipe, tally: CountingTally) -> None:
    """A shutdown is bounded, whoever does not read."""
    pipe.fill()
    sink = Sink(pipe.writer, tally, loss)
    sink.write(LINE)

    assert not sink.close(0.01)


def test_a_reader_that_went_away_ends_nothing(pipe: Pipe, tally: CountingTally) -> None:
    """EPIPE: lines are lost and counted, and the next ones are tried again."""
    sink = Sink(pipe.writer, tally, loss)
    os.close(pipe.reader)

    sink.write(LINE)
    tally.wait_suppressed(1)
    sink.write(LINE)
    tally.wait_suppressed(2)

    assert sink.close(PATIENCE_SECONDS)


def test_a_non_blocking_descriptor_loses_nothing(pipe: Pipe, tally: CountingTally) -> None:
    """EAGAIN: somebody who shares the terminal may have made it so; the sink waits for room."""
    os.set_blocking(pipe.writer, False)
    sink = Sink(pipe.writer, tally, loss)
    lines = [f"{number} {LINE}" for number in range(5_000)]

    for line in lines:
        sink.write(line)

    assert pipe.read_lines(len(lines)) == lines
    assert sink.close(PATIENCE_SECONDS)
    assert tally.suppressed == 0


def test_a_non_blocking_descriptor_does_not_hold_a_shutdown(
    pipe: Pipe, tally: CountingTally
) -> None:
    """Closing, it gives up on room that does not come, and counts what it gave up."""
    pipe.fill()
    os.set_blocking(pipe.writer, False)
    sink = Sink(pipe.writer, tally, loss)
    sink.write(LINE)

    assert sink.close(PATIENCE_SECONDS)
    assert tally.suppressed == 1


def test_without_standard_error_lines_are_counted_only(tally: CountingTally) -> None:
    """A daemon started with it closed has nothing to write to, and runs."""
    sink = Sink(None, tally, loss)

    sink.write(LINE)
    tally.wait_suppressed(1)

    assert sink.close(PATIENCE_SECONDS)


def test_lines_never_go_to_a_file_that_took_the_descriptor_s_number(
    pipe: Pipe, tally: CountingTally, tmp_path: Path
) -> None:
    """Standard error closed, its number goes to whatever is opened next: a client, or the store."""
    sink = Sink(pipe.writer, tally, loss)
    os.close(pipe.writer)
    path = tmp_path / "store"

    with path.open("w") as stream:
        assert stream.fileno() == pipe.writer
        sink.write(LINE)
        sink.close(PATIENCE_SECONDS)

    assert pipe.read_lines(1) == [LINE]
    assert path.read_text() == ""


def test_a_closed_sink_takes_nothing(pipe: Pipe, tally: CountingTally) -> None:
    """Whoever still logs after the end is counted, not crashed."""
    sink = Sink(pipe.writer, tally, loss)
    sink.close(PATIENCE_SECONDS)

    sink.write(LINE)

    assert tally.suppressed == 1


def test_text_that_is_no_unicode_is_written(pipe: Pipe, tally: CountingTally) -> None:
    """A lone surrogate comes escaped."""
    sink = Sink(pipe.writer, tally, loss)

    sink.write("a\ud800b")

    assert pipe.read_lines(1) == ["a\\ud800b"]
    sink.close(PATIENCE_SECONDS)
