"""Where lines leave the process, without ever holding it up.

Standard error may be a pipe that nobody empties, a terminal gone away, or closed. A write to it can
then block for good or fail, so a thread does the writing and the event loop only appends to a
bounded list. What does not fit, or cannot be written, is counted and told when writing works again.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Callable
from typing import Final, Protocol

# Some twenty thousand lines: enough for a hiccup of whoever reads, too little to hurt.
BACKLOG_MAX_BYTES: Final = 4 * 1024 * 1024
POLL_MILLISECONDS: Final = 250
FIRST_DESCRIPTOR: Final = 3


class LineTally(Protocol):
    """Counts lines; may be called from any thread."""

    def line_written(self, level: str) -> None:
        """A line was handed to the sink."""
        ...

    def lines_suppressed(self, count: int) -> None:
        """So many lines were held back or lost."""
        ...


class Sink:
    """Writes lines to a file descriptor, in their order, from a thread of its own.

    `descriptor` is None where there is nothing to write to. `describe_loss` makes the line that
    tells how many are missing. A process that is killed loses what `close` has not waited for.
    """

    def __init__(
        self,
        descriptor: int | None,
        tally: LineTally,
        describe_loss: Callable[[int], str],
        backlog_bytes: int = BACKLOG_MAX_BYTES,
    ) -> None:
        self._tally = tally
        self._describe_loss = describe_loss
        self._backlog_bytes = backlog_bytes
        self._changed = threading.Condition()
        self._lines: list[bytes] = []
        self._bytes = 0
        self._lost = 0
        self._is_closing = False
        # Were standard error closed by someone, its number would go to the next file or connection
        # opened, and lines would land there: so write to a duplicate, never below 3.
        self._descriptor = (
            fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
            if descriptor is not None
            else None
        )
        # A daemon thread: stuck in a write that never ends, it must not keep the process alive.
        self._thread = threading.Thread(target=self._write_loop, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Take a line; returns at once. Lines beyond the bound are counted as lost."""
        text = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            is_taken = not self._is_closing and self._bytes + len(text) <= self._backlog_bytes
            if is_taken:
                self._lines.append(text)
                self._bytes += len(text)
                self._changed.notify_all()
        if not is_taken:
            self._lose(1)

    def close(self, timeout_seconds: float) -> bool:
        """Write what was taken and stop, in bounded time; whether everything was dealt with."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _lose(self, count: int) -> None:
        with self._changed:
            self._lost += count
        self._tally.lines_suppressed(count)

    def _write_loop(self) -> None:
        while lines := self._take():
            with self._changed:
                lost, self._lost = self._lost, 0
            # Told before the lines that follow the gap, in the place where the lines are missing.
            missing = [self._describe_loss(lost).encode() + b"\n"] if lost else []
            if not self._put(b"".join(missing + lines)):
                with self._changed:
                    self._lost += lost
                self._lose(len(lines))
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _take(self) -> list[bytes]:
        """All lines there are, waiting for one; none once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._is_closing)
            lines, self._lines, self._bytes = self._lines, [], 0
        return lines

    def _put(self, text: bytes) -> bool:
        """Write it all; False when the descriptor is of no use, now or ever."""
        left = memoryview(text)
        while left and self._descriptor is not None:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                if not self._wait_writable(self._descriptor):
                    return False
            except OSError:
                # EPIPE, EIO, ENOSPC, EBADF: nobody can be told of it here, so it is only counted.
                return False
        return not left

    def _wait_writable(self, descriptor: int) -> bool:
        """Wait until a non-blocking descriptor takes more; False when closing and it does not."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        # In short waits, for the poll does not see that the sink is being closed.
        while not poll.poll(POLL_MILLISECONDS):
            if self._is_closing:
                return False
        return True
