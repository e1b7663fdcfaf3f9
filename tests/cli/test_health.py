"""`tirelessd healthcheck` against a real listener: ready, not ready, mute, gone."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tirelessd.cli import program
from tirelessd.cli.health import Unwell, check_health
from tirelessd.settings import ListenerSettings

TIMEOUT_SECONDS = 5.0


@contextmanager
def probes(**answers: int) -> Iterator[int]:
    """Serve probes that answer these statuses; gives the port."""

    class Probes(BaseHTTPRequestHandler):
        """Answers what it was told to."""

        def do_GET(self) -> None:
            """Answer one probe."""
            self.send_response(answers[self.path.removeprefix("/")])
            self.end_headers()
            self.wfile.write(b'{"failing":\n {"store": "disk full"}}')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Probes) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def configure(folder: Path, port: int) -> str:
    """Write a configuration whose ops listener has this port; gives its path."""
    path = folder / "tirelessd.yaml"
    path.write_text(
        "store: sqlite:./t.db\n"
        "queues: {q: {handler: {type: echo}}}\n"
        f"ops: {{port: {port}}}\n",
        encoding="utf-8",
    )
    return str(path)


def test_ready_daemon_is_well(folder: Path) -> None:
    """A daemon that says it is ready makes exit code 0."""
    with probes(readyz=200) as port:
        code = program.run(["healthcheck", "--config", configure(folder, port)])

    assert code == 0


def test_unready_daemon_is_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A daemon that says it is not ready makes exit code 1, and its words are shown on one line."""
    with probes(readyz=503) as port:
        code = program.run(["healthcheck", "--config", configure(folder, port)])

    assert code == 1
    assert capsys.readouterr().err == (
        f"tirelessd: http://127.0.0.1:{port}/readyz answers 503:"
        ' {"failing": {"store": "disk full"}}\n'
    )


def test_liveness_is_asked_for_by_option(folder: Path) -> None:
    """With `--live` a daemon that lives is well, ready or not."""
    with probes(livez=200, readyz=503) as port:
        code = program.run(["healthcheck", "--live", "--config", configure(folder, port)])

    assert code == 0


def test_absent_daemon_is_unwell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody listens, the address that was asked is told."""
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]

    code = program.run(["healthcheck", "--config", configure(folder, port)])

    assert code == 1
    assert f"http://127.0.0.1:{port}/readyz does not answer: " in capsys.readouterr().err


def test_mute_daemon_is_unwell() -> None:
    """A listener that says nothing is waited for as long as asked, not longer."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ops = ListenerSettings(port=mute.getsockname()[1])

        with pytest.raises(Unwell, match="does not answer: timed out"):
            check_health(ops, "/readyz", 0.1)


def test_stranger_is_unwell() -> None:
    """Something that speaks no HTTP is no healthy daemon."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        thread = threading.Thread(target=greet, args=(stranger,))
        thread.start()
        ops = ListenerSettings(port=stranger.getsockname()[1])

        with pytest.raises(Unwell, match="does not answer: "):
            check_health(ops, "/readyz", TIMEOUT_SECONDS)

        thread.join()


def greet(listener: socket.socket) -> None:
    """Answer one connection with something that is no HTTP."""
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"220 mail.example ready\r\n")
        connection.recv(4096)


def test_bound_to_everything_is_asked_on_loopback() -> None:
    """A daemon that listens on all addresses is asked on one that can be connected to."""
    with probes(readyz=200) as port:
        check_health(ListenerSettings(host="0.0.0.0", port=port), "/readyz", TIMEOUT_SECONDS)  # noqa: S104


def test_unknown_port_cannot_be_asked() -> None:
    """When the system picked the port, the configuration does not tell which."""
    with pytest.raises(Unwell, match=r"^ops\.port: is 0"):
        check_health(ListenerSettings(port=0), "/readyz", TIMEOUT_SECONDS)


def test_bad_configuration_is_unwell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A container's health check has no exit code but 0 and 1."""
    (folder / "tirelessd.yaml").write_text("slots: 3\n", encoding="utf-8")

    code = program.run(["healthcheck"])

    assert code == 1
    assert capsys.readouterr().err.startswith("tirelessd: slots: unknown setting")
