"""What a daemon does with signals and standard streams that are not as they should be."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.faults.experiment import Experiment, configuration
from tests.waiting import a_moment

pytestmark = pytest.mark.unhurried

BLOCKED = {"type": "python", "function": "tests.faults.tricks:sleep_blocking"}
STREAMS = ["2>&-", "0<&- 1>&- 2>&-", ">/dev/full 2>&1", "2>/dev/fd/{pipe}"]
HEALTH = ["-m", "tirelessd", "healthcheck", "--config"]


@pytest.mark.row("P4")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGPIPE"])
async def test_signal_that_means_nothing_here_ends_nothing(
    experiment: Experiment, name: str
) -> None:
    """The daemon goes on, and says that it did not do what the signal may have been meant for."""
    daemon = await experiment.start(pre_drain_seconds=0)
    async with aiohttp.ClientSession() as session:
        daemon.send(signal.Signals[name])
        await experiment.heal(5)

        assert await daemon.probe(session, "/livez") == 200

    await experiment.stop()
    ignored = [line["signal"] for line in daemon.lines if line["event"] == "signal.ignored"]
    assert ignored == ([] if name == "SIGPIPE" else [name])


@pytest.mark.row("P4")
async def test_second_signal_reaches_a_blocked_loop(experiment: Experiment) -> None:
    """A handler that blocks the event loop cannot hold up who says now."""
    queues = {"work": {"handler": BLOCKED, "slots": 1}}
    daemon = await experiment.start(queues=queues)
    async with aiohttp.ClientSession() as session:
        async with session.post(experiment.url(), data=b"x") as response:
            assert response.status == 202
        await a_moment(0.2)

        daemon.send(signal.SIGTERM)
        await a_moment(0.1)
        daemon.send(signal.SIGINT)

        assert await daemon.wait(1) == 128 + signal.SIGINT


@pytest.mark.row("P10")
@pytest.mark.long
@pytest.mark.timeout(180)
async def test_start_can_be_ended_at_every_moment(experiment: Experiment) -> None:
    """A signal ends a start soon, without a line beside the log, and the next start works."""
    daemon = experiment.make_daemon(pre_drain_seconds=0)
    for step in range(6, 36):
        await daemon.launch()
        await a_moment(step * 0.04)

        daemon.send(signal.SIGTERM)

        # Before the program is loaded the interpreter is ended by the signal itself.
        assert await daemon.wait(5) in (0, 128 + signal.SIGTERM, -signal.SIGTERM)
    assert daemon.stray_output == []
    await daemon.start()
    await experiment.heal(5)


@pytest.mark.row("P4")
@pytest.mark.long
async def test_first_process_of_a_namespace_hears_its_signals(experiment: Experiment) -> None:
    """As process 1 it drains at SIGTERM; skipped where no namespace can be made."""
    prefix = ("unshare", "--pid", "--fork", "--kill-child")
    tried = await asyncio.create_subprocess_exec(*prefix, "true", stderr=subprocess.DEVNULL)
    if await tried.wait():
        pytest.skip("no process namespace can be made here")
    daemon = await experiment.start(prefix=prefix, pre_drain_seconds=0)
    await experiment.heal(5)
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text()  # noqa: ASYNC240

    os.kill(int(children.split()[0]), signal.SIGTERM)

    assert await daemon.wait(5) == 0
    assert daemon.lines[-1]["state"] == "stopping"


async def is_healthy(config: Path) -> bool:
    """Whether the health check finds the daemon ready."""
    asked = await asyncio.create_subprocess_exec(
        sys.executable, *HEALTH, str(config), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    return await asked.wait() == 0


def full_pipe() -> Sequence[int]:
    """Both ends of a pipe that takes nothing more."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * 4_096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    return reading, writing


@pytest.mark.row("P4")
@pytest.mark.long
@pytest.mark.parametrize(
    "streams", ["2>&-", "0<&- 1>&- 2>&-", ">/dev/full 2>&1", "2>/dev/fd/{pipe}"]
)
async def test_nobody_need_read_the_log(tmp_path: Path, streams: str) -> None:
    """Streams that are closed, full, or never read hold up neither the daemon nor its end."""
    config = tmp_path / "tirelessd.yaml"
    ports = {"api": {"port": 18_461}, "ops": {"port": 18_462}}
    settings = configuration(tmp_path, "http://127.0.0.1:9/", pre_drain_seconds=0) | ports
    config.write_text(yaml.safe_dump(settings))
    reading, writing = full_pipe()
    script = f'exec "$@" {streams.format(pipe=writing)}'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "tirelessd", "serve", "-c"]
    process = await asyncio.create_subprocess_exec(*command, str(config), pass_fds=[writing])
    try:
        async with asyncio.timeout(20):
            while not await is_healthy(config):
                assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(reading)
        os.close(writing)

    assert code == 0
