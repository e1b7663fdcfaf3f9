"""The demo's daemon: found by its log, ended by a signal, killed if that does not help."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tirelessd.cli.demonstration import process
from tirelessd.cli.demonstration.process import DemoFailed, running_daemon

STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
signal.pause()
"""


def config(folder: Path) -> dict[str, Any]:
    """The least configuration that serves."""
    return {
        "store": f"sqlite://{folder}/t.db",
        "api": {"port": 0},
        "ops": {"port": 0},
        "log": {"format": "json"},
        "queues": {"q": {"handler": {"type": "echo"}}},
    }


async def child(code: str) -> asyncio.subprocess.Process:
    """A process that runs the code, and has said its first line."""
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=-1)
    assert started.stdout is not None
    await started.stdout.readline()
    return started


async def test_daemon_is_up_inside_and_gone_after(folder: Path) -> None:
    """Within the context both listeners answer; after it nobody does."""
    async with aiohttp.ClientSession() as session:
        async with running_daemon(folder, config(folder)) as addresses:
            async with session.get(f"{addresses.api}/v1/queues") as response:
                inside = response.status
            async with session.get(f"{addresses.ops}/livez") as response:
                alive = response.status

        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{addresses.ops}/livez")

    assert (inside, alive) == (200, 200)


async def test_daemon_ends_with_an_error_too(folder: Path) -> None:
    """Whatever happens inside the context, the daemon is ended, and drained rather than killed."""
    with pytest.raises(ZeroDivisionError):
        async with running_daemon(folder, config(folder)):
            raise ZeroDivisionError

    assert '"event":"drain.finished"' in (folder / "tirelessd.log").read_text(encoding="utf-8")


async def test_stubborn_process_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not listen to SIGTERM has so long, and no longer."""
    monkeypatch.setattr(process, "STOP_SECONDS", 0.1)
    stubborn = await child(STUBBORN)

    await process.end_process(stubborn)

    assert stubborn.returncode == -signal.SIGKILL


async def test_cancelled_stop_leaves_nothing_running() -> None:
    """A second Ctrl-C while the daemon drains kills it instead of forgetting it."""
    stubborn = await child(STUBBORN)
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(process.end_process(stubborn))
        await asyncio.sleep(0)

        stopping.cancel()

    assert await stubborn.wait() == -signal.SIGKILL


async def test_ended_process_is_left_alone() -> None:
    """What has ended by itself is not signalled."""
    ended = await child("print('bye')")
    await ended.wait()

    await process.end_process(ended)

    assert ended.returncode == 0


async def test_silent_end_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that ends without a word is told as such."""
    monkeypatch.setattr(sys, "executable", "/bin/true")

    with pytest.raises(DemoFailed, match="the daemon did not start: it said nothing"):
        async with running_daemon(folder, config(folder)):
            raise AssertionError("it must not come this far")


async def test_slow_start_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that does not listen in time is ended, and its last line is the reason."""
    monkeypatch.setattr(process, "START_SECONDS", 0.01)

    with pytest.raises(DemoFailed, match="the daemon did not start: "):
        async with running_daemon(folder, config(folder)):
            raise AssertionError("it must not come this far")


def test_log_is_read_between_its_lines(folder: Path) -> None:
    """Half a line, another program's words and other events are no listener."""
    log = folder / "log"
    log.write_text(
        "Warning: something\n"
        '["a", "list"]\n'
        '{"event": "lifecycle.changed", "state": "running"}\n'
        '{"event": "listener.opened", "listener": "ops", "url": "http://127.0.0.1:1"}\n'
        '{"event": "listener.opened", "listener": "api", "url": "http',
        encoding="utf-8",
    )

    opened = process.opened_listeners(log)

    assert opened == {"ops": "http://127.0.0.1:1"}


def test_environment_has_none_of_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's daemon is configured by its file alone; everything else is passed on."""
    monkeypatch.setenv("TIRELESSD_API__PORT", "1")
    monkeypatch.setenv("OTHER", "1")

    environment = process.own_environment()

    assert "OTHER" in environment
    assert [name for name in environment if name.startswith("TIRELESSD_")] == []
