"""What goes wrong on the way: each fault has its own words, and no POST is ever sent twice."""

from __future__ import annotations

import asyncio
import re
import socket
import threading

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from tests.engine.handlers.upstream import (
    OK,
    PATIENCE_SECONDS,
    Answer,
    DeafUpstream,
    Exchange,
    Upstream,
    a_context,
    an_item,
    attempt_at,
    failure_at,
    handler_for,
    sending,
)
from tirelessd.core.errors import AttemptError
from tirelessd.core.outcome import Reason
from tirelessd.engine.handlers.network import network_failure

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


def unused_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def then_reset(*parts: bytes) -> Answer:
    """An answer that ends in a RST."""

    async def answer(exchange: Exchange) -> None:
        for part in parts:
            await exchange.send(part)
            await asyncio.sleep(0)
        exchange.reset()

    return answer


async def flood_informational(exchange: Exchange) -> None:
    """One 1xx after the other, for as long as somebody listens."""
    while True:
        await exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)


async def test_refused_connection_is_a_connect_failure() -> None:
    """Nobody listening is told from everything else, in the system's words."""
    port = unused_port()

    failure = await failure_at(f"http://127.0.0.1:{port}/")

    assert failure.reason == Reason.CONNECT
    assert failure.detail == f"cannot connect to 127.0.0.1:{port}: Connection refused"


async def test_unknown_host_is_a_connect_failure() -> None:
    """A name that cannot be looked up is a failure to connect, and names the host."""
    host = "nowhere.invalid"

    failure = await failure_at(f"http://{host}/")

    assert failure.reason == Reason.CONNECT
    assert failure.detail.startswith(f"cannot resolve {host}: ")


def test_connection_reset_before_it_came_about_is_no_matter_of_tls() -> None:
    """A reset while connecting is a failed handshake only where there is one."""
    key = ConnectionKey(
        "models", 80, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
    )
    error = aiohttp.ClientConnectorError(key, ConnectionResetError())

    reasons = [network_failure(error, is_tls=is_tls).reason for is_tls in (False, True)]

    assert reasons == [Reason.CONNECT, Reason.TLS]


async def test_connecting_is_bounded() -> None:
    """A host that swallows packets is a failure to connect, after the time set for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # A full backlog drops what comes next, as a firewall does.
        queued = [socket.socket() for _ in range(4)]
        for each in queued:
            each.settimeout(0)
            each.connect_ex(full.getsockname())

        failure = await failure_at(
            f"http://127.0.0.1:{full.getsockname()[1]}/", connect_timeout_seconds=0.05
        )

        for each in queued:
            each.close()
    assert failure.reason == Reason.CONNECT
    assert failure.detail == "no connection, TLS included, within connect_timeout_seconds"


async def test_silent_upstream_is_a_timeout() -> None:
    """An upstream that says nothing for the time set is a timeout, of the request it has got."""
    async with Upstream(Exchange.wait_gone) as upstream:
        failure = await failure_at(upstream.url, read_timeout_seconds=0.05)

    assert failure.reason == Reason.TIMEOUT
    assert failure.detail == "not a byte within read_timeout_seconds"
    assert len(upstream.requests) == 1


async def test_body_that_stalls_is_a_timeout() -> None:
    """The time set for silence holds inside the body, too."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(HEAD + b"part")
        await exchange.wait_gone()

    async with Upstream(answer) as upstream:
        failure = await failure_at(upstream.url, read_timeout_seconds=0.05)

    assert failure.reason == Reason.TIMEOUT


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def chunk_that_is_none_later(exchange: Exchange) -> None:
    """A body that begins well, goes on as no body could, and leaves the connection open."""
    await exchange.send(CHUNKED + b"2\r\nab\r\n")
    await asyncio.sleep(0)
    await exchange.send(b"zz\r\n")
    await exchange.wait_gone()


BROKEN_ANSWERS: dict[str, tuple[Answer, str]] = {
    "closed at once": (sending(close=True), "closed the connection before it answered"),
    "closed in the headers": (
        sending(HEAD[:20], close=True),
        "the connection broke after 20 bytes of the answer's head: closed",
    ),
    "reset at once": (
        then_reset(),
        "the connection broke before it was answered: Connection reset by peer",
    ),
    "reset in the headers": (
        then_reset(HEAD[:20]),
        "the connection broke after 20 bytes of the answer's head: Connection reset by peer",
    ),
    "reset in the body": (
        then_reset(HEAD, b"part"),
        "the answer broke off: Connection reset by peer: .*4 of 100 bytes",
    ),
    "reset in a body without length": (
        then_reset(b"HTTP/1.1 200 OK\r\n\r\npart"),
        "the answer broke off: Connection reset by peer",
    ),
    "less body than promised": (
        sending(HEAD, b"part", close=True),
        "the answer broke off: closed: .*4 of 100 bytes",
    ),
    "chunks without an end": (
        sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", close=True),
        "the answer broke off: ",
    ),
    "garbage": (sending(b"\x16\x03\x01\x00\xff\x00garbage\r\n\r\n"), "not HTTP as it should be"),
    "another protocol": (sending(b"SSH-2.0-OpenSSH_9.2\r\n"), "not HTTP as it should be"),
    "no status": (sending(b"HTTP/1.1 abc\r\n\r\n"), "not HTTP as it should be"),
    "two lengths": (
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        "not HTTP as it should be",
    ),
    "a header of 10 MB": (sending(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000_000), "8190"),
    "10,000 headers": (sending(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000), "not HTTP as"),
    "blank lines without end": (sending(b"\r\n" * 1_000_000), "more than 65536 bytes of headers"),
    "a chunk extension without end": (
        sending(CHUNKED + b"5;", b"a" * 1_000_000),
        "more than 65536 bytes of headers, chunk extensions or trailers",
    ),
    "chunk extensions without end": (
        sending(CHUNKED, b"1;" + b"a" * 4_000 + b"\r\nx\r\n", b"1;" + b"a" * 1_000_000),
        "more than 65536 bytes",
    ),
    "a chunk size without end": (sending(CHUNKED, b"0" * 1_000_000), "more than 65536 bytes"),
    "trailers without end": (
        sending(CHUNKED + b"2\r\nab\r\n0\r\n", b"X: y\r\n" * 10_000),
        "the answer broke off: it is not HTTP as it should be: Too many headers received",
    ),
    "a chunk that is none": (
        sending(CHUNKED + b"2\r\nab\r\nzz\r\n"),
        "the answer broke off: it is not HTTP as it should be: Invalid character in chunk size",
    ),
    "a later chunk that is none": (
        chunk_that_is_none_later,
        "the answer broke off: it is not HTTP",
    ),
    "1xx without end": (flood_informational, "more than 16 answers of 1xx before the real one"),
}


@pytest.mark.parametrize(("answer", "detail"), BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS)
async def test_broken_answer_is_a_protocol_failure(answer: Answer, detail: str) -> None:
    """Each way in which an answer breaks has words of its own; the request went out once."""
    async with Upstream(answer) as upstream, handler_for(upstream.url) as handler:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(AttemptError) as caught:
                await handler.attempt(an_item(b"once"), a_context())
        await upstream.wait_until(lambda: upstream.open_connections == 0)

    assert caught.value.reason == Reason.PROTOCOL
    assert re.search(detail, caught.value.detail), caught.value.detail
    assert caught.value.status is None
    assert [request.body for request in upstream.requests] == [b"once"]


@pytest.mark.parametrize("ending", ["closes", "resets"])
async def test_stale_kept_alive_connection_costs_one_attempt(ending: str) -> None:
    """A connection closed under a second request fails that attempt; nothing repeats the POST."""

    async def answer(exchange: Exchange) -> None:
        if len(upstream.requests) != 2:
            await exchange.send(OK)
        elif ending == "closes":
            exchange.writer.close()
        else:
            exchange.reset()

    async with Upstream(answer) as upstream, handler_for(upstream.url) as handler:
        await handler.attempt(an_item(b"1"), a_context())
        with pytest.raises(AttemptError) as caught:
            await handler.attempt(an_item(b"2"), a_context())
        await handler.attempt(an_item(b"3"), a_context())

    assert caught.value.reason == Reason.PROTOCOL
    assert caught.value.detail.startswith(
        "the kept-alive connection broke before it was answered: "
    )
    assert [request.body for request in upstream.requests] == [b"1", b"2", b"3"]


async def test_answer_nobody_asked_for_is_never_the_next_items() -> None:
    """What an upstream sends on an idle connection is not taken for the next item's result."""
    may_babble, has_babbled = asyncio.Event(), asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(OK)
        if exchange.request.body == b"1":
            await may_babble.wait()
            await exchange.send(OK.replace(b"done", b"fake"))
            has_babbled.set()

    async with (
        Upstream(sending(OK)) as other,
        Upstream(answer) as upstream,
        handler_for(upstream.url) as handler,
    ):
        await handler.attempt(an_item(b"1"), a_context())
        may_babble.set()
        await has_babbled.wait()
        await attempt_at(other.url)  # by then the loop has read the babble
        with pytest.raises(AttemptError) as caught:
            await handler.attempt(an_item(b"2"), a_context())
        third = await handler.attempt(an_item(b"3"), a_context())

    assert caught.value.reason == Reason.PROTOCOL
    assert caught.value.detail == "an answer nobody had asked for lay on the kept-alive connection"
    assert third.result == b"done"


async def test_connection_closed_while_idle_is_replaced() -> None:
    """A connection that the upstream closed between two attempts costs nothing."""
    async with (
        Upstream(sending(OK)) as other,
        Upstream(sending(OK, close=True)) as upstream,
        handler_for(upstream.url) as handler,
    ):
        for number in range(3):
            await handler.attempt(an_item(), a_context(number + 1))
            await upstream.wait_until(lambda: upstream.open_connections == 0)
            await attempt_at(other.url)  # by then the loop has seen the connection end

    assert len(upstream.requests) == 3


async def test_closed_handler_leaves_nothing_behind() -> None:
    """With the handler its kept connections end, and so do its threads."""
    before = set(threading.enumerate())

    async with Upstream(sending(OK)) as upstream:
        async with handler_for(upstream.url) as handler:
            await asyncio.gather(*(handler.attempt(an_item(), a_context()) for _ in range(8)))
            started = set(threading.enumerate()) - before
        await upstream.wait_until(lambda: upstream.open_connections == 0)
    for thread in started:
        await asyncio.to_thread(thread.join, PATIENCE_SECONDS)

    assert started
    assert not any(thread.is_alive() for thread in started)


async def test_upstream_that_answers_before_it_has_read_is_left_at_once() -> None:
    """An early 413 counts, and what is left of a large payload keeps no connection open."""
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"

    with DeafUpstream(early) as upstream:
        failure, _ = await asyncio.gather(
            failure_at(upstream.url, an_item(bytes(30_000_000))), upstream.serve()
        )

    assert (failure.reason, failure.status) == (Reason.HTTP_4XX, 413)


async def test_cancelled_attempt_drops_what_it_could_not_send() -> None:
    """A payload that the upstream does not read keeps no connection open after a cancellation."""
    with DeafUpstream() as upstream:
        async with handler_for(upstream.url) as handler, asyncio.TaskGroup() as tasks:
            tasks.create_task(upstream.serve())
            attempt = tasks.create_task(handler.attempt(an_item(bytes(30_000_000)), a_context()))
            await upstream.has_answered.wait()
            attempt.cancel()

    assert attempt.cancelled()


async def no_answer(exchange: Exchange) -> None:
    """Take the request and say nothing."""
    await exchange.wait_gone()


async def half_an_answer(exchange: Exchange) -> None:
    """Begin to answer and go on forever."""
    await exchange.send(HEAD + b"part")
    await exchange.wait_gone()


async def drip(exchange: Exchange) -> None:
    """Send headers byte by byte, as long as somebody listens."""
    for byte in HEAD:
        await exchange.send(bytes([byte]))
        await asyncio.sleep(0)
    await exchange.wait_gone()


@pytest.mark.parametrize(
    "answer", [no_answer, half_an_answer, drip], ids=lambda each: each.__name__
)
async def test_cancelled_attempt_drops_its_connection(answer: Answer) -> None:
    """A cancellation ends the attempt at once, and the upstream sees the connection go."""
    async with Upstream(answer) as upstream, handler_for(upstream.url) as handler:
        attempt = asyncio.get_running_loop().create_task(handler.attempt(an_item(), a_context()))
        await upstream.wait_until(lambda: len(upstream.requests) == 1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await upstream.wait_until(lambda: upstream.open_connections == 0)

    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ClientOSError(None, "Can not write request body for http://models/?key=s3cret"),
        aiohttp.ClientOSError(32, "Can not write request body for http://models/?key=s3cret"),
        aiohttp.InvalidUrlClientError("http://models/?key=s3cret"),
        aiohttp.ClientError("http://models/?key=s3cret"),
    ],
    ids=repr,
)
def test_detail_never_holds_the_url(error: aiohttp.ClientError) -> None:
    """A query may hold a key, and a detail is shown to whoever may read the item."""
    failure = network_failure(error)

    assert "models" not in failure.detail
