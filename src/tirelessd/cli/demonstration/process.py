"""The daemon as a process of its own, started as anybody would start it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from tirelessd.core.errors import TirelessdError

# Twenty times what a start takes; a slow machine is no reason to give up.
START_SECONDS: Final = 15.0
STOP_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.02


class DemoFailed(TirelessdError):
    """The demo could not be shown; the message says why."""


class Addresses(msgspec.Struct, frozen=True):
    """Where the daemon listens."""

    api: str
    ops: str


@asynccontextmanager
async def running_daemon(folder: Path, config: Mapping[str, Any]) -> AsyncIterator[Addresses]:
    """A daemon that listens, until the context ends; it is drained then, or killed if need be.

    Its configuration and its log stand in `folder`. Raises `DemoFailed` when it does not start.
    """
    path, log = folder / "tirelessd.yaml", folder / "tirelessd.log"
    path.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tirelessd", "serve", "--config", str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stream,
            env=own_environment(),
            # A Ctrl-C is ours alone: the daemon is to be stopped after its last question.
            start_new_session=True,
        )
    try:
        yield await _addresses(process, log)
    finally:
        await end_process(process)


def own_environment() -> dict[str, str]:
    """The environment without variables that would change the daemon's settings."""
    return {name: text for name, text in os.environ.items() if not name.startswith("TIRELESSD_")}


async def _addresses(process: asyncio.subprocess.Process, log: Path) -> Addresses:
    """Wait until the log tells where both listeners are."""
    # The ports are the system's choice, so nothing can be in their way; the log tells which.
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                opened = opened_listeners(log)
                if len(opened) == len(Addresses.__struct_fields__):
                    return Addresses(**opened)
                if process.returncode is not None:
                    break
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        pass
    raise DemoFailed(f"the daemon did not start: {_last_line(log) or 'it said nothing'}")


def opened_listeners(log: Path) -> dict[str, str]:
    """The listeners that the log tells of, name to URL; lines of any other kind are passed over."""
    opened = {}
    for line in log.read_bytes().splitlines():
        try:
            entry = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue  # half a line, or one of somebody else's
        if isinstance(entry, dict) and entry.get("event") == "listener.opened":
            opened[entry["listener"]] = entry["url"]
    return opened


def _last_line(log: Path) -> str:
    return log.read_text(errors="replace").strip().rpartition("\n")[2]


async def end_process(process: asyncio.subprocess.Process) -> None:
    """Ask the process to end, and kill it after `STOP_SECONDS`, or at once when cancelled."""
    if process.returncode is not None:
        return
    try:
        process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        # It had longer than its own drain takes.
        process.kill()
        await process.wait()
    finally:
        # A second Ctrl-C comes through here: nothing may be left running.
        if process.returncode is None:
            process.kill()
