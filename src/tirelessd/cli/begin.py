"""The first moments of the process, before anything heavy is imported, and its very last one.

Signals count from here on: process 1 of a container never hears of one that it has not asked for,
and an import takes half a second in which an operator may change their mind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Final, NoReturn

INTERRUPTED: Final = 130
STANDARD_STREAMS: Final = 3
# What threads that are ending get; one that is not will not for any time.
THREADS_SECONDS: Final = 0.5


def main() -> None:
    """Run the command line of the process and exit with its code, in bounded time."""
    fill_standard_streams()
    if sys.argv[1:2] == ["serve"]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, leave_at_once)
    try:
        # Only here, for the reason above.
        from tirelessd.cli.program import run  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    leave(run(sys.argv[1:]))


def fill_standard_streams() -> None:
    """Put nothing where the starter closed a standard stream.

    Else the next file or connection would get its number, and be written to by whoever prints.
    """
    for descriptor in range(STANDARD_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is the one that was found missing.
            os.open(os.devnull, os.O_RDWR)


def leave_at_once(number: int, _frame: FrameType | None) -> NoReturn:
    """End by signal while there is nothing yet that could be left half done."""
    os._exit(128 + number)


def leave(code: int) -> NoReturn:
    """Exit, past threads that will not end: the interpreter would wait for them for ever."""
    for thread in lasting_threads():
        thread.join(THREADS_SECONDS / len(lasting_threads() or [thread]))
    if lasting_threads():
        os._exit(code)
    sys.exit(code)


def lasting_threads() -> list[threading.Thread]:
    """The threads that the interpreter waits for: a handler's own, or one that hangs in a disk."""
    return [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread()
    ]
