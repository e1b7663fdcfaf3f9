"""`tirelessd serve` as a supervisor sees it: what it says, how it ends, with which code."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tirelessd.cli import program

DEADLINE_SECONDS = 20


def serve(config: Path, **variables: str) -> tuple[int, list[str], str]:
    """Serve a configuration that cannot start; gives exit code, stray lines, standard output.

    A stray line is one that is no line of the log.
    """
    ended = subprocess.run(
        [sys.executable, "-m", "tirelessd", "serve", "--config", str(config)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    stray = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    return ended.returncode, stray, ended.stdout


@contextmanager
def serving(config: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A daemon that listens, and its ops listener's URL; ended at the latest with the test."""
    with subprocess.Popen(
        [sys.executable, "-m", "tirelessd", "serve", "--config", str(config)],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, opened(process)["ops"]
        finally:
            process.kill()


def opened(process: subprocess.Popen[str]) -> dict[str, str]:
    """The URLs of both listeners, read from the log."""
    assert process.stderr is not None
    urls: dict[str, str] = {}
    for line in process.stderr:
        entry = msgspec.json.decode(line)
        if entry["event"] == "listener.opened":
            urls[entry["listener"]] = entry["url"]
        if len(urls) == 2:
            return urls
    raise AssertionError(f"the daemon ended at its start; it opened {urls}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_with_0(config: Path, number: signal.Signals) -> None:
    """A daemon with nothing to do drains at once, says nothing but its log, and exits 0."""
    with serving(config) as (process, _):
        process.send_signal(number)
        _, rest = process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 0
    assert [line for line in rest.splitlines() if not line.startswith("{")] == []


def test_running_daemon_is_healthy(config: Path) -> None:
    """The health check finds a daemon that serves the same configuration."""
    with serving(config) as (_, ops):
        text = config.read_text(encoding="utf-8")
        port = ops.rpartition(":")[2]
        config.write_text(text.replace("ops: {port: 0}", f"ops: {{port: {port}}}"))

        codes = [program.run(["healthcheck", *options]) for options in ([], ["--live"])]

    assert codes == [0, 0]


@pytest.mark.parametrize("listener", ["api", "ops"])
def test_busy_port_is_named(config: Path, listener: str) -> None:
    """A port that somebody has is a failure in one line that names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]

        code, stray, output = serve(config, **{f"TIRELESSD_{listener.upper()}__PORT": str(port)})

    assert (code, output) == (1, "")
    assert len(stray) == 1
    assert re.match(rf"tirelessd: .*{listener}\.port: .*{port}", stray[0])


@pytest.mark.parametrize("path", ["/proc/tirelessd.db", "./no-such-folder/tirelessd.db"])
def test_unwritable_store_is_told(config: Path, path: str) -> None:
    """A place where nothing can be written is a failure in one line that names it."""
    url = f"sqlite://{path}" if path.startswith("/") else f"sqlite:{path}"

    code, stray, _ = serve(config, TIRELESSD_STORE=url)

    assert code == 1
    assert len(stray) == 1
    assert path.removeprefix(".") in stray[0]


def test_missing_function_is_told(config: Path) -> None:
    """A function that is nowhere is a mistake in the configuration, in one line that names it."""
    handler = "{type: python, function: 'no_such_module:f'}"

    code, stray, _ = serve(config, TIRELESSD_QUEUES__Q__HANDLER=handler)

    assert code == 2
    assert len(stray) == 1
    assert "no_such_module" in stray[0]


def test_second_daemon_is_kept_out(config: Path) -> None:
    """Two daemons on one store file: the second fails and tells who holds it."""
    with serving(config) as (process, _):
        code, stray, _ = serve(config)

    assert code == 1
    assert len(stray) == 1
    assert f"in use by process {process.pid}" in stray[0]
