"""One command line in, one exit code out, and nothing but one line for whatever goes wrong.

0 is success, 1 a failure, 2 a bad configuration or command line, 128 + n an end by signal n.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Sequence
from typing import Final, TextIO

from typer.exceptions import Abort, TyperException

from tirelessd.cli.commands import app
from tirelessd.core.errors import Misconfigured, TirelessdError
from tirelessd.settings import SettingsError

OK: Final = 0
FAILURE: Final = 1
BAD_CONFIGURATION: Final = 2
INTERRUPTED: Final = 130
COMPLAINT_MILLISECONDS: Final = 500


def run(arguments: Sequence[str]) -> int:
    """Run a command line; errors become one line on stderr, unexpected ones too."""
    try:
        return app(arguments or ["--help"], prog_name="tirelessd", standalone_mode=False) or OK
    except TirelessdError as error:
        complain(str(error))
        is_mistake = isinstance(error, SettingsError | Misconfigured)
        return BAD_CONFIGURATION if is_mistake else FAILURE
    except TyperException as error:
        complain(f"{error.format_message()} (see tirelessd --help)")
        return BAD_CONFIGURATION
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output is gone; what is left of it must not fail again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:  # noqa: BLE001  (the end of the program: nothing may get out as a traceback)
        return unexpected(error)


def unexpected(error: Exception) -> int:
    """Tell of a defect in one line, or with its traceback when debugging."""
    # A traceback is for whoever mends it, and not for every log in between.
    if os.environ.get("TIRELESSD_DEBUG"):
        traceback.print_exception(error)
    words = " ".join(str(error).split())[:500]
    hint = "" if os.environ.get("TIRELESSD_DEBUG") else "; TIRELESSD_DEBUG=1 shows where"
    complain(f"unexpected {type(error).__name__}: {words}{hint}")
    return FAILURE


def complain(line: str) -> None:
    """Say one line on stderr, if there is anybody to take it; a full pipe holds nobody up."""
    stream = sys.stderr
    if stream is None:  # closed by whoever started us
        return
    try:
        if is_writable(stream):
            stream.write(f"tirelessd: {line}\n")
            stream.flush()
    except (OSError, ValueError):
        # A full disk or a reader that has gone; the exit code says it too.
        return


def is_writable(stream: TextIO) -> bool:
    """Whether a line fits in, or there is no telling."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return True
    waiting = select.poll()
    waiting.register(descriptor, select.POLLOUT)
    return bool(waiting.poll(COMPLAINT_MILLISECONDS))
