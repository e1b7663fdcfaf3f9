"""What an upstream's answer comes to: a result, or a failure named by its status."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from tests.engine.handlers.upstream import (
    NOW,
    Exchange,
    Upstream,
    a_context,
    an_item,
    attempt_at,
    failure_at,
    handler_for,
    sending,
    status,
)
from tirelessd.core.decision import Complete
from tirelessd.core.outcome import Reason
from tirelessd.engine.handlers.http import EXCERPT_MARGIN_SECONDS

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("code", [200, 201, 202, 203, 206, 207, 226, 299])
async def test_2xx_is_success_and_its_body_the_result(code: int) -> None:
    """Every 2xx completes the item; the body is kept byte for byte, with its content type."""
    body = bytes(range(256)) + b"\r\n"

    async with Upstream(status(code, body, Content_Type="image/png")) as upstream:
        complete = await attempt_at(upstream.url)

    assert complete == Complete(body, "image/png")


@pytest.mark.parametrize("code", [204, 205])
async def test_answer_without_content_is_no_result(code: int) -> None:
    """A 204 or 205 completes the item without a result."""
    async with Upstream(sending(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % code)) as upstream:
        complete = await attempt_at(upstream.url)

    assert complete == Complete()


async def test_empty_body_is_an_empty_result() -> None:
    """A 200 with nothing in it has a result of no bytes, which is not the same as none."""
    async with Upstream(status(200)) as upstream:
        complete = await attempt_at(upstream.url)

    assert complete == Complete(b"", "application/octet-stream")


@pytest.mark.parametrize(
    "parts",
    [
        (CHUNKED + b"2\r\nab\r\n", b"3;x=y\r\ncde\r\n0\r\nX-Trailer: z\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", b"cde"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"de"),
        (b"HTTP/1.0 200 OK\r\n\r\nabcde",),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * 16, b"HTTP/1.1 200 OK\r\n\r\nabcde"),
    ],
    ids=["chunked", "in two parts", "until the end", "HTTP/1.0", "after 1xx"],
)
async def test_body_is_read_in_every_framing(parts: tuple[bytes, ...]) -> None:
    """However an answer is framed, its result is the body and nothing else."""
    async with Upstream(sending(*parts, close=True)) as upstream:
        complete = await attempt_at(upstream.url)

    assert complete.result == b"abcde"


@pytest.mark.parametrize(("size", "kept"), [(9, 9), (10, 10), (11, 10), (1_000_000, 10)])
async def test_result_is_cut_at_the_cap(size: int, kept: int) -> None:
    """A 2xx with a longer body is success all the same, with the beginning as its result."""
    body = b"0123456789" * (size // 10 + 1)

    async with Upstream(status(200, body[:size])) as upstream:
        complete = await attempt_at(upstream.url, response_bytes=10)

    assert complete.result == body[:kept]


async def test_answer_as_long_as_the_cap_is_read_to_its_end() -> None:
    """A body that just fits is waited for to its end, so that its connection stays in use."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(CHUNKED + b"4\r\ndone\r\n")
        await attempt_at(other.url)  # by then the handler has read that much
        await exchange.send(b"0\r\n\r\n")

    async with (
        Upstream(status(200)) as other,
        Upstream(answer) as upstream,
        handler_for(upstream.url, response_bytes=4) as handler,
    ):
        results = [await handler.attempt(an_item(), a_context()) for _ in range(2)]

    assert [complete.result for complete in results] == [b"done", b"done"]
    assert upstream.connections == 1


async def test_answer_that_is_complete_counts_though_its_connection_breaks() -> None:
    """A RST behind the last byte of a measured body takes nothing away from it."""

    async def answer(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        exchange.reset()

    async with Upstream(answer) as upstream:
        complete = await attempt_at(upstream.url)

    assert complete.result == b"done"


async def test_endless_body_is_not_read() -> None:
    """Of a gigabyte only the beginning leaves the upstream; then its connection is dropped."""
    sent = 0

    async def pour(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while sent < 2**30:
            await exchange.send(bytes(65_536))
            sent += 65_536

    async with Upstream(pour) as upstream, handler_for(upstream.url) as handler:
        complete = await handler.attempt(an_item(), a_context())
        await upstream.wait_until(lambda: upstream.open_connections == 0)

    assert complete.result == bytes(65_536)
    assert sent < 2**25, "the sockets' buffers hold a few megabytes; more was read"


async def test_connection_with_an_unread_rest_is_not_used_again() -> None:
    """What is left of a cut answer can never be taken for the answer to the next item."""
    async with (
        Upstream(status(200, b"x" * 10_000_000)) as upstream,
        handler_for(upstream.url, response_bytes=1) as handler,
    ):
        results = [await handler.attempt(an_item(), a_context()) for _ in range(3)]

    assert [complete.result for complete in results] == [b"x"] * 3
    assert upstream.connections == 3


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (300, Reason.HTTP_3XX),
        (304, Reason.HTTP_3XX),
        (400, Reason.HTTP_4XX),
        (404, Reason.HTTP_4XX),
        (408, Reason.HTTP_4XX),
        (429, Reason.HTTP_429),
        (499, Reason.HTTP_4XX),
        (500, Reason.HTTP_5XX),
        (503, Reason.HTTP_5XX),
        (599, Reason.HTTP_5XX),
        (600, Reason.PROTOCOL),
        (999, Reason.PROTOCOL),
    ],
)
async def test_other_statuses_are_failures_by_their_class(code: int, reason: Reason) -> None:
    """Each status that is no 2xx is a failure with its reason and the status itself."""
    async with Upstream(sending(b"HTTP/1.1 %d Odd\r\n\r\n" % code, close=True)) as upstream:
        failure = await failure_at(upstream.url)

    assert (failure.reason, failure.status) == (reason, code)
    assert failure.detail == f"HTTP {code}"


async def test_switch_of_protocols_is_a_failure() -> None:
    """A 101 answers no POST."""
    switch = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"

    async with Upstream(sending(switch)) as upstream:
        failure = await failure_at(upstream.url)

    assert (failure.reason, failure.status) == (Reason.PROTOCOL, 101)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"error":\r\n  "model  is busy"}\n', 'HTTP 500: {"error": "model is busy"}'),
        ("zu spät".encode(), "HTTP 500: zu spät"),
        (b"\xff\xfe!", "HTTP 500: \ufffd\ufffd!"),
        (b" \r\n\t", "HTTP 500"),
    ],
    ids=["json", "utf-8", "binary", "blank"],
)
async def test_detail_shows_what_the_body_says(body: bytes, detail: str) -> None:
    """The detail of a failure is the status and the body's words on one line."""
    async with Upstream(status(500, body)) as upstream:
        failure = await failure_at(upstream.url)

    assert failure.detail == detail


async def test_detail_of_a_long_body_is_its_beginning() -> None:
    """Of a failed answer's body no more than an excerpt is read."""
    async with Upstream(status(500, b"y" * 10_000_000)) as upstream:
        failure = await failure_at(upstream.url)

    assert failure.detail == "HTTP 500: " + "y" * 16_384


@pytest.mark.parametrize("ending", ["stalls", "breaks off"])
async def test_status_counts_though_the_body_does_not_come(ending: str) -> None:
    """A 404 stays a 404 when its body stalls or breaks: no retry is earned by that."""
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\npart"

    async def answer(exchange: Exchange) -> None:
        await exchange.send(head)
        if ending == "breaks off":
            exchange.reset()
        await exchange.wait_gone()

    async with Upstream(answer) as upstream:
        failure = await failure_at(upstream.url, excerpt_seconds=0.05)

    assert (failure.reason, failure.status) == (Reason.HTTP_4XX, 404)
    assert failure.detail == "HTTP 404"


async def test_encoded_body_is_neither_unpacked_nor_called_what_it_is_not() -> None:
    """A body that was encoded unasked is kept as it came, as bytes of no known type."""
    bomb = gzip.compress(bytes(10_000_000))
    answer = status(200, bomb, Content_Encoding="gzip", Content_Type="application/json")

    async with Upstream(answer) as upstream:
        complete = await attempt_at(upstream.url)

    assert complete == Complete(bomb, "application/octet-stream")


async def test_detail_of_an_encoded_body_says_so() -> None:
    """The failure's detail does not hold packed bytes."""
    async with Upstream(status(500, gzip.compress(b"busy"), Content_Encoding="gzip")) as upstream:
        failure = await failure_at(upstream.url)

    assert failure.detail == "HTTP 500: (an encoded body)"


@pytest.mark.parametrize("value", ["text/plain; x=ü", "text/" + "x" * 300], ids=["odd", "long"])
async def test_unusable_content_type_is_not_kept(value: str) -> None:
    """A content type that could not be shown again as a header becomes unknown bytes."""
    async with Upstream(status(200, b"x", Content_Type=value)) as upstream:
        complete = await attempt_at(upstream.url)

    assert complete == Complete(b"x", "application/octet-stream")


def http_date(epoch_seconds: float) -> str:
    """An instant as HTTP writes it."""
    return format_datetime(datetime.fromtimestamp(epoch_seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry_After": "120"}, 120.0),
        ({"Retry_After": http_date(NOW + 3)}, 3.0),
        ({"Retry_After": http_date(NOW + 3), "Date": http_date(NOW + 1)}, 2.0),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "-1"}, None),
    ],
    ids=["none", "seconds", "date", "by its own clock", "nonsense", "negative"],
)
@pytest.mark.parametrize("code", [429, 503, 500, 302])
async def test_retry_after_is_passed_on(
    code: int, headers: dict[str, str], seconds: float | None
) -> None:
    """What the upstream asks for, in either form, comes with the failure."""
    async with Upstream(status(code, b"", **headers)) as upstream:
        failure = await failure_at(upstream.url)

    assert failure.retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (b"200 OK\r\nContent-Length: 4\r\n\r\ndone and more", b"done"),
        (b"200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone and more", b"done"),
        (b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndone\r\n0\r\n\r\nmore", b"done"),
        (b"200 OK\r\nContent-Length: 0\r\n\r\nmore", b""),
        (b"204 No Content\r\nContent-Length: 4\r\n\r\nmore", None),
        (b"204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None),
    ],
)
@pytest.mark.parametrize("is_in_one_piece", [True, False])
async def test_bytes_behind_an_answer_do_not_spoil_it(
    answer: bytes, result: bytes | None, *, is_in_one_piece: bool
) -> None:
    """A whole 2xx counts, whatever follows it and however the bytes are cut on their way."""
    head, end, rest = (b"HTTP/1.1 " + answer).partition(b"\r\n\r\n")
    parts = (head + end + rest,) if is_in_one_piece else (head + end, rest)

    async with Upstream(sending(*parts)) as upstream, handler_for(upstream.url) as handler:
        outcomes = [await handler.attempt(an_item(), a_context()) for _ in range(2)]

    assert [outcome.result for outcome in outcomes] == [result, result]
    assert (len(upstream.requests), upstream.connections) == (2, 2)


async def test_tiny_chunks_are_a_body_like_any_other() -> None:
    """Chunks of one byte bring more framing than body, and are read all the same."""
    body = b"x" * 60_000
    chunks = b"1\r\nx\r\n" * len(body)
    answer = sending(CHUNKED, chunks, b"0\r\n\r\n")

    async with Upstream(answer) as upstream:
        outcome = await attempt_at(upstream.url)

    assert outcome.result == body


async def test_status_is_not_lost_to_the_attempts_limit() -> None:
    """The body of a failed answer is given up before the limit that would make it a timeout."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n")
        await exchange.wait_gone()

    async with Upstream(answer) as upstream, asyncio.timeout(EXCERPT_MARGIN_SECONDS + 0.1):
        failure = await failure_at(
            upstream.url, attempt_timeout_seconds=EXCERPT_MARGIN_SECONDS + 0.05
        )

    assert failure.detail == "HTTP 404"
