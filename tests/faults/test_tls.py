"""U7: nothing is delivered to an upstream that cannot prove who it is, and nothing waits for it."""

from __future__ import annotations

import re
import ssl
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from tests.engine.handlers.test_http_tls import aged, served_by
from tests.faults.experiment import Experiment
from tests.faults.raw_upstream import RawUpstream, Wire

CONNECT_SECONDS = 1.0
LATE_SECONDS = 0.5
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
EXPECTED = {
    "expired": ("tls", "certificate has expired"),
    "future": ("tls", "certificate is not yet valid"),
    "unknown": ("tls", "unable to get local issuer certificate"),
    "elsewhere": ("tls", "certificate is not valid for '127.0.0.1'"),
    "old": ("tls", "TLS handshake with .* failed"),
    "plain": ("tls", "TLS handshake with .* failed"),
    "stalled": ("connect", "within connect_timeout_seconds"),
    "silent": ("connect", "within connect_timeout_seconds"),
}


async def stall(wire: Wire) -> None:
    """Take the hello, begin an answer to it, and say nothing more."""
    await wire.reader.read(1)
    await wire.send(b"\x16\x03\x03\x00")
    await wire.is_gone()


async def say_nothing(wire: Wire) -> None:
    """Take the connection, and that is all."""
    await wire.is_gone()


async def say_plain(wire: Wire) -> None:
    """What a plain HTTP port says to a hello."""
    await wire.reader.read(10)
    await wire.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def contexts(authority: trustme.CA) -> dict[str, ssl.SSLContext]:
    """The server's side of every flaw that a certificate or a protocol has."""
    now = datetime.now(UTC)
    past: dict[str, Any] = {"not_before": LONG_AGO, "not_after": LONG_AGO.replace(year=2021)}
    future: dict[str, Any] = {"not_before": now.replace(year=now.year + 1)}
    return {
        "good": served_by(authority.issue_cert("127.0.0.1")),
        "expired": served_by(authority.issue_cert("127.0.0.1", **past)),
        "future": served_by(authority.issue_cert("127.0.0.1", **future)),
        "unknown": served_by(trustme.CA().issue_cert("127.0.0.1")),
        "elsewhere": served_by(authority.issue_cert("127.0.0.2", "models.test")),
        "old": aged(served_by(authority.issue_cert("127.0.0.1"))),
    }


def queue_to(url: str, ca_file: Path) -> dict[str, Any]:
    """A queue with short times."""
    return {
        "handler": {
            "type": "http",
            "url": url.replace("http:", "https:"),
            "ca_file": str(ca_file),
            "attempt_timeout_seconds": 2,
            "connect_timeout_seconds": CONNECT_SECONDS,
            "keepalive_seconds": 1,
        },
        "slots": 4,
        "retry": {"max_attempts": 3, "initial_seconds": 0.2, "cap_seconds": 2},
    }


@pytest.mark.row("U7")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_upstream_that_proves_nothing_gets_nothing(experiment: Experiment) -> None:
    """Each flaw has words of its own, costs no more than the connect timeout, is tried again."""
    authority, ca_file = trustme.CA(), experiment.folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    greetings = {"plain": say_plain, "stalled": stall, "silent": say_nothing}
    async with AsyncExitStack() as stack:
        upstreams = {
            name: await stack.enter_async_context(RawUpstream(tls=tls))
            for name, tls in contexts(authority).items()
        }
        for name, greeting in greetings.items():
            upstreams[name] = await stack.enter_async_context(RawUpstream(greeting=greeting))
        experiment.upstream = upstreams["good"]
        queues = {name: queue_to(each.url, ca_file) for name, each in upstreams.items()}
        await experiment.start(queues={"work": queues["good"]} | queues)

        async with aiohttp.ClientSession() as session:
            for name in upstreams:
                path = f"/v1/queues/{name}/items"
                await experiment.ledger.submit(session, experiment.url(path), name)
            await experiment.settle()
            histories = await histories_of(experiment, session)
        await experiment.finish()

    assert histories.pop("good") == []
    for name, (reason, words) in EXPECTED.items():
        assert len(histories[name]) == 3
        for failed in histories[name]:
            assert failed["reason"] == reason, (name, failed)
            assert re.search(words, failed["detail"]), (name, failed)
            assert failed["duration_seconds"] <= CONNECT_SECONDS + LATE_SECONDS
        assert upstreams[name].hits == []


async def histories_of(experiment: Experiment, session: aiohttp.ClientSession) -> dict[str, Any]:
    """The failed attempts on the item of each word."""
    found = {}
    for entry in experiment.ledger.of("acked"):
        async with session.get(experiment.url(f"/v1/items/{entry.item_id}")) as response:
            found[entry.word] = (await response.json())["history"]
    return found
