"""TLS as an upstream may get it wrong: nothing is delivered to whoever cannot prove who it is."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from tests.engine.handlers.upstream import (
    OK,
    Exchange,
    StoppedClock,
    Talk,
    Upstream,
    a_context,
    an_item,
    attempt_at,
    failure_at,
    handler_for,
    ignore,
    sending,
)
from tirelessd.core.errors import Misconfigured
from tirelessd.core.outcome import Reason
from tirelessd.engine.handlers.http import HttpConfig, HttpHandler

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that only these tests trust."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The authority's certificate, as configuration names it."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def served_by(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def test_trusted_upstream_gets_the_item(authority: trustme.CA, ca_file: str) -> None:
    """An upstream with a certificate of a configured authority, for its name, is served."""
    certificate = authority.issue_cert("localhost")

    async with Upstream(sending(OK), tls=served_by(certificate)) as upstream:
        complete = await attempt_at(upstream.url, an_item(b"\0\xff"), ca_file=ca_file)

    assert complete.result == b"done"
    assert [request.body for request in upstream.requests] == [b"\0\xff"]


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ("expired", "certificate has expired"),
        ("unknown authority", "unable to get local issuer certificate"),
        ("self-signed", "self[- ]signed certificate"),
        ("wrong host", "Hostname mismatch, certificate is not valid for 'localhost'"),
    ],
)
async def test_certificate_that_proves_nothing_is_refused(
    authority: trustme.CA, ca_file: str, flaw: str, words: str
) -> None:
    """Each flaw of a certificate has its own words; the upstream gets no request."""
    issuer = trustme.CA() if flaw in ("unknown authority", "self-signed") else authority
    certificate = issuer.issue_cert(
        "elsewhere" if flaw == "wrong host" else "localhost",
        not_before=LONG_AGO,
        not_after=LONG_AGO.replace(year=2021) if flaw == "expired" else None,
    )
    tls = served_by(certificate)
    if flaw == "self-signed":
        # With its root in the chain, the peer shows a certificate that vouches for itself.
        issuer.configure_trust(tls)
        chain = certificate.private_key_and_cert_chain_pem.bytes() + issuer.cert_pem.bytes()
        with trustme.Blob(chain).tempfile() as path:
            tls.load_cert_chain(path)

    async with Upstream(sending(OK), tls=tls) as upstream:
        failure = await failure_at(upstream.url, ca_file=ca_file)

    assert failure.reason == Reason.TLS
    assert re.fullmatch(
        f"the certificate of localhost:{upstream.port} is refused: {words}.*", failure.detail
    ), failure.detail
    assert upstream.requests == []


def aged(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, speaking nothing newer than TLS 1.1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is the point of it
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


async def test_old_tls_is_refused(authority: trustme.CA, ca_file: str) -> None:
    """An upstream that speaks nothing newer than TLS 1.1 serves old clients, and not this one."""
    tls = aged(served_by(authority.issue_cert("localhost")))
    old_client = aged(ssl.create_default_context(cafile=ca_file))

    async with Upstream(sending(OK), tls=tls) as upstream:
        _, writer = await asyncio.open_connection("localhost", upstream.port, ssl=old_client)
        writer.close()
        failure = await failure_at(upstream.url, ca_file=ca_file)

    assert failure.reason == Reason.TLS
    assert upstream.requests == []


async def say_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a TLS greeting as a plain HTTP server does."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """End the connection after the greeting."""
    await reader.read(1)


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (say_http, "WRONG_VERSION_NUMBER|wrong version number"),
        (hang_up, "closed by the upstream|reset|EOF"),
    ],
)
async def test_broken_handshake_is_a_tls_failure(talk: Talk, words: str) -> None:
    """A plain HTTP port and one that hangs up are failures of the handshake, told apart."""
    async with Upstream(talk=talk) as upstream:
        failure = await failure_at(f"https://localhost:{upstream.port}/")

    assert failure.reason == Reason.TLS
    assert failure.detail.startswith(f"TLS handshake with localhost:{upstream.port} failed: ")
    assert re.search(words, failure.detail), failure.detail


async def test_tls_that_breaks_off_is_a_tls_failure(authority: trustme.CA, ca_file: str) -> None:
    """Bytes that are no TLS, in the middle of it, are told from a connection that breaks."""

    async def answer(exchange: Exchange) -> None:
        wire: socket.socket = exchange.writer.get_extra_info("socket")
        os.write(wire.fileno(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await exchange.wait_gone()

    tls = served_by(authority.issue_cert("localhost"))
    async with Upstream(answer, tls=tls) as upstream:
        failure = await failure_at(upstream.url, ca_file=ca_file)

    assert failure.reason == Reason.TLS
    assert failure.detail.startswith("TLS broke off: ")


async def keep_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Take the greeting and never answer it."""
    while await reader.read(1_000):
        pass


async def test_stalled_handshake_is_bounded() -> None:
    """A handshake that never ends counts as connecting, and is left when the time is up."""
    async with Upstream(talk=keep_silent) as upstream:
        failure = await failure_at(
            f"https://localhost:{upstream.port}/", connect_timeout_seconds=0.05
        )
        await upstream.wait_until(lambda: upstream.open_connections == 0)

    assert failure.reason == Reason.CONNECT
    assert failure.detail == "no connection, TLS included, within connect_timeout_seconds"


@pytest.mark.parametrize("stage", ["handshake", "answer"])
async def test_cancelled_attempt_drops_its_tls_connection(
    authority: trustme.CA, ca_file: str, stage: str
) -> None:
    """A cancellation waits for no goodbye, neither in the handshake nor after it."""
    tls = served_by(authority.issue_cert("localhost")) if stage == "answer" else None
    talk = keep_silent if stage == "handshake" else None

    async with (
        Upstream(Exchange.wait_gone, talk, tls) as upstream,
        handler_for(f"https://localhost:{upstream.port}/", ca_file=ca_file) as handler,
        asyncio.TaskGroup() as tasks,
    ):
        attempt = tasks.create_task(handler.attempt(an_item(), a_context()))
        await upstream.wait_until(
            lambda: bool(upstream.requests or (talk and upstream.connections))
        )
        attempt.cancel()
        await upstream.wait_until(lambda: upstream.open_connections == 0)

    assert attempt.cancelled()


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_unusable_authorities_are_refused_at_the_start(
    tmp_path: Path, content: str | None
) -> None:
    """A `ca_file` that is missing or holds no certificate stops the start, and is named."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    config = HttpConfig("https://localhost/", ca_file=str(path))

    with pytest.raises(Misconfigured, match=re.escape(f"ca_file {str(path)!r} cannot be used")):
        await HttpHandler(config, StoppedClock(), ignore).open()
