"""Bad HTTP, hurried and dying clients: what they are answered, and what is not stored."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from tests.api.conftest import LIMITS, MakeEdge
from tests.api.edge import Edge, Wire, chunked, head, post
from tirelessd.core.events import (
    IntakeRequestFinished,
    ItemAccepted,
    ItemSucceeded,
    UnexpectedError,
)

START = b"POST /v1/queues/work/items HTTP/1.1\r\nHost: t\r\n"
CLEAN = b"Content-Length: 3\r\n\r\nabc"

# What RFC 9112 has servers refuse, and what attackers send to make two servers disagree.
BAD_HTTP = {
    "length and chunks": START + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "chunks and length": START + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    "two lengths": START + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "one length twice": START + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "list of lengths": START + b"Content-Length: 3, 3\r\n\r\nabc",
    "plus": START + b"Content-Length: +3\r\n\r\nabc",
    "minus": START + b"Content-Length: -3\r\n\r\nabc",
    "hexadecimal length": START + b"Content-Length: 0x3\r\n\r\nabc",
    "underscore": START + b"Content-Length: 1_0\r\n\r\n0123456789",
    "endless length": START + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "unknown coding": START + b"Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "coding before chunks": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": START + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /v1/queues/work/items HTTP/1.0\r\nHost: t\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": START + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "chunk too long": START + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "chunk of 2 to the 64": START + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n",
    "bare line feeds": (START + CLEAN).replace(b"\r\n", b"\n"),
    "bare carriage return": START + b"X: a\rb\r\n" + CLEAN,
    "folded line": START + b"X: a\r\n b\r\n" + CLEAN,
    "two hosts": START + b"Host: u\r\n" + CLEAN,
    "no host": b"POST /v1/queues/work/items HTTP/1.1\r\n" + CLEAN,
    "NUL in a value": START + b"X: a\0b\r\n" + CLEAN,
    "NUL in the path": b"POST /v1/queues/work\0/items HTTP/1.1\r\nHost: t\r\n" + CLEAN,
    "byte in the path": b"POST /v1/queues/\xff/items HTTP/1.1\r\nHost: t\r\n" + CLEAN,
    "byte in the query": b"POST /v1/queues/work/items?\xff HTTP/1.1\r\nHost: t\r\n" + CLEAN,
    "space before the colon": START + b"X : a\r\n" + CLEAN,
    "no name": START + b": a\r\n" + CLEAN,
    "no colon": START + b"nonsense\r\n" + CLEAN,
    "two content types": START + b"Content-Type: a/b\r\nContent-Type: a/c\r\n" + CLEAN,
    "20 kB header": START + b"X: " + b"a" * 20_000 + b"\r\n" + CLEAN,
    "200 headers": START + b"".join(b"X%d: 1\r\n" % n for n in range(200)) + CLEAN,
    "20 kB path": b"POST /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: t\r\n" + CLEAN,
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"x" * 100,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.0": b"POST /v1/queues/work/items HTTP/3.0\r\nHost: t\r\n" + CLEAN,
    "unknown method": b"FOO /v1/queues/work/items HTTP/1.1\r\nHost: t\r\n" + CLEAN,
    "no path": b"POST  HTTP/1.1\r\nHost: t\r\n" + CLEAN,
    "relative path": b"POST v1 HTTP/1.1\r\nHost: t\r\n" + CLEAN,
    "bad port": b"POST http://t:99999999/v1 HTTP/1.1\r\nHost: t\r\n" + CLEAN,
    "HTTP/0.9": b"POST /v1/queues/work/items\r\nHost: t\r\n" + CLEAN,
    "HTTP/2.0": b"POST /v1/queues/work/items HTTP/2.0\r\nHost: t\r\n" + CLEAN,
    "no proxy": b"CONNECT t:443 HTTP/1.1\r\nHost: t\r\n\r\n" + START + CLEAN,
    "fragment": b"POST /v1/queues/work/items#x HTTP/1.1\r\nHost: t\r\n" + CLEAN,
    "host with a space": START.replace(b"Host: t", b"Host: t u") + CLEAN,
    "host with a path": START.replace(b"Host: t", b"Host: t/u") + CLEAN,
    "host with a user": START.replace(b"Host: t", b"Host: u@t") + CLEAN,
    "host with a byte": START.replace(b"Host: t", b"Host: \xff") + CLEAN,
    "host with an open bracket": START.replace(b"Host: t", b"Host: [::1") + CLEAN,
    "host with a large port": START.replace(b"Host: t", b"Host: t:800000") + CLEAN,
    "coding on a read": b"GET /v1/queues HTTP/1.1\r\nHost: t\r\n"
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks on a read in HTTP/1.0": b"GET /v1/queues HTTP/1.0\r\nHost: t\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "noise": bytes(range(256)) * 4 + b"\r\n\r\n",
}


async def test_bad_http_is_refused_and_the_connection_closed(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    """400 as a problem document; nothing is stored, nothing is logged, nothing is a defect."""
    refused = {}

    for name, raw in BAD_HTTP.items():
        wire = (await edge.connect()).send(raw)
        answer = await wire.answer()
        refused[name] = (answer.status, answer.problem["code"], await wire.is_closed())
        wire.close()

    assert refused == dict.fromkeys(BAD_HTTP, (400, "malformed_request", True))
    assert edge.house.recorder.of(ItemAccepted) == []
    assert edge.house.recorder.of(UnexpectedError) == []
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


@pytest.mark.parametrize("line", [b"OPTIONS * HTTP/1.1", b"GET http://t/nothing HTTP/1.1"])
async def test_target_that_is_no_path_is_unknown(wire: Wire, line: bytes) -> None:
    """Nothing is served there."""
    answer = await wire.send(line, b"\r\nHost: t\r\n\r\n").answer()

    assert (answer.status, answer.problem["code"]) == (404, "unknown_path")


async def test_target_may_name_the_host(wire: Wire) -> None:
    """Proxies are spoken to so; the path counts (RFC 9112, 3.2.2)."""
    raw = post(b"x").replace(b"POST /", b"POST http://t/", 1)

    answer = await wire.send(raw).answer()

    assert answer.status == 202


@pytest.mark.parametrize(
    "host", ["", "t", "t:", "t:80", "[::1]:80", "127.0.0.1:1", "a_b.c~d", "%41"], ids=repr
)
async def test_host_may_be_whatever_a_host_may_be(wire: Wire, host: str) -> None:
    """Names, addresses, none at all, with a port or without (RFC 3986, 3.2.2)."""
    raw = post(b"x").replace(b"Host: t\r\n", f"Host: {host}\r\n".encode())

    answer = await wire.send(raw).answer()

    assert answer.status == 202


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.2"])
async def test_nothing_follows_an_upgrade_that_is_not_accepted(edge: Edge, protocol: str) -> None:
    """The request is served as HTTP/1.1, and is the last one: the parser loses what follows it."""
    asking = post(b"x", "Connection: Upgrade", f"Upgrade: {protocol}")
    wire = (await edge.connect()).send(asking, post(b"lost"))

    answer = await wire.answer()
    rest = await wire.rest()
    wire.close()

    assert answer.status == 202
    assert answer.headers["connection"] == "close"
    assert rest == b""
    assert len(edge.house.recorder.of(ItemAccepted)) == 1


async def test_upgrade_with_a_body_that_comes_later_is_served(wire: Wire) -> None:
    """Some clients ask for HTTP/2 with every first request, whatever its size."""
    whole = post(b"abc", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")
    wire.send(whole[:-2])

    answer = await wire.send(whole[-2:]).answer()

    assert answer.status == 202


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"GET / HTTP/2.0\r\nHost: t\r\n\r\n", "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: t t\r\n\r\n", "Host"),
        (b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 9_000 + b"\r\n\r\n", "too long"),
        (b"GET / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: x, chunked\r\n\r\n", "chunked"),
        (b"GET / HTTP/1.1\r\nHost: t\r\n" + b"X: a\r\n" * 128 + b"\r\n", "more than 128"),
    ],
    ids=["version", "host", "long line", "coding", "fields"],
)
async def test_bad_http_is_told_what_is_bad_about_it(wire: Wire, raw: bytes, word: str) -> None:
    """In words of ours: the request itself is never quoted."""
    answer = await wire.send(raw).answer()

    assert word in answer.problem["detail"]


@pytest.mark.parametrize(
    "start",
    [
        START + b"Content-Length: +1\r\n\r\n",
        START + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        START + b"X: " + b"a" * 20_000,
        START + b"X: a\r\n" * 20_000,
    ],
    ids=["head", "body", "long line", "many lines"],
)
async def test_refusal_reaches_a_client_that_is_still_sending(wire: Wire, start: bytes) -> None:
    """It reads the answer and the end; a reset would have taken both from it."""
    wire.send(start, b"x" * 20_000_000)

    answer = await wire.answer()
    rest = await wire.rest()

    assert (answer.status, answer.problem["code"]) == (400, "malformed_request")
    assert rest == b""


async def test_body_that_breaks_after_its_refusal_is_nobodys_news(
    make_edge: MakeEdge, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is out, the rest is only skipped: broken chunks end the connection, no more."""
    edge = await make_edge(limits=msgspec.structs.replace(LIMITS, body_seconds=0.2))
    wire = await edge.connect()
    wire.send(head("Transfer-Encoding: chunked", "Origin: x"))
    answer = await wire.answer()

    wire.send(b"no size\r\n")
    await wire.rest()
    wire.close()

    assert answer.status == 403
    assert edge.house.recorder.of(UnexpectedError) == []
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


# --- sizes -------------------------------------------------------------------


async def test_declared_length_is_refused_before_the_body(wire: Wire) -> None:
    """413 to the headers alone."""
    answer = await wire.send(head("Content-Length: 100000000")).answer()

    assert (answer.status, answer.problem["code"]) == (413, "body_too_large")


async def test_chunks_are_refused_at_the_limit(edge: Edge, wire: Wire) -> None:
    """413 as soon as one byte too many is there, long before the end."""
    wire.send(head("Transfer-Encoding: chunked"), chunked(b"x" * edge.limits.body_bytes))
    wire.send(chunked(b"x"))

    answer = await wire.answer()

    assert (answer.status, answer.problem["code"]) == (413, "body_too_large")
    assert edge.house.recorder.of(ItemAccepted) == []


async def test_flood_without_end_is_cut_off(edge: Edge, wire: Wire) -> None:
    """After the 413 a client may go on for a while, and is then cut off; nothing of it is kept."""
    wire.send(head("Content-Length: 100000000"))
    answer = await wire.answer()

    for _ in range(100):
        wire.send(b"x" * 65_536)

    assert answer.status == 413
    assert edge.house.recorder.of(ItemAccepted) == []


async def test_connection_goes_on_after_a_refused_body_has_come(edge: Edge, wire: Wire) -> None:
    """What was refused is skipped, and the next request is read from where it begins."""
    wire.send(post(b"x" * (edge.limits.body_bytes + 1)), post(b"y"))

    refused, accepted = await wire.answer(), await wire.answer()

    assert (refused.status, accepted.status) == (413, 202)


async def test_memory_for_bodies_is_given_back(make_edge: MakeEdge) -> None:
    """A body is held from its arrival to its answer, refused or not."""
    edge = await make_edge(limits=msgspec.structs.replace(LIMITS, held_bytes=10_000))
    wire = await edge.connect()

    answers = [
        await wire.send(post(b"x" * 6_000, f"Idempotency-Key: {key}")).answer()
        for key in ("a", "a", "b", "", "c")
    ]

    assert [answer.status for answer in answers] == [202, 202, 202, 400, 202]
    wire.close()


# --- 100-continue ------------------------------------------------------------


async def test_waiting_client_is_told_to_go_on(wire: Wire) -> None:
    """100, then the body, then 202."""
    wire.send(head("Content-Length: 3", "Expect: 100-continue"))
    interim = await wire.answer()

    answer = await wire.send(b"abc").answer()

    assert (interim.status, answer.status) == (100, 202)


async def test_client_that_did_not_wait_is_not_told(wire: Wire) -> None:
    """A body that is there already needs no invitation."""
    answer = await wire.send(post(b"abc", "Expect: 100-Continue")).answer()

    assert answer.status == 202


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (head("Content-Length: 100000000", "Expect: 100-continue"), 413),
        (head("Content-Length: 3", "Expect: 100-continue", path="/v1/queues/x/items"), 404),
        (head("Content-Length: 3", "Expect: 100-continue", path="/nothing"), 404),
        (head("Content-Length: 3", "Expect: 100-continue", path="/v1/queues"), 405),
        (head("Content-Length: 3", "Expect: 100-continue", path="/v1/queues/work/batch"), 415),
        (head("Content-Length: 3", "Expect: 100-continue", "Content-Encoding: br"), 415),
        (head("Content-Length: 3", "Expect: 100-continue", "Tirelessd-Delay: x"), 400),
        (head("Content-Length: 3", "Expect: 100-continue", "Origin: x"), 403),
        (head("Content-Length: 3", "Expect: a-pony"), 417),
    ],
)
async def test_nobody_is_told_to_go_on_in_vain(wire: Wire, raw: bytes, status: int) -> None:
    """The refusal comes at once, and ends a connection on which a body may or may not follow."""
    answer = await wire.send(raw).answer()

    assert answer.status == status
    assert answer.headers["connection"] == "close"


# --- clients that die, hurry or come again -----------------------------------


async def test_item_of_a_client_that_died_is_kept(edge: Edge) -> None:
    """Whoever does not wait for the answer can ask again with its key, and finds one item."""
    count = 50
    for number in range(count):
        dying = await edge.connect()
        dying.send(post(b"x", f"Idempotency-Key: k{number}"))
        await edge.house.recorder.wait_for(IntakeRequestFinished, number + 1)
        dying.reset()

    receipts = [await edge.submit(b"x", Idempotency_Key=f"k{n}") for n in range(count)]

    assert len({receipt["id"] for receipt in receipts}) == count
    assert len(edge.house.recorder.of(ItemAccepted)) == count
    assert edge.house.recorder.of(UnexpectedError) == []


async def test_half_a_body_is_no_item(edge: Edge) -> None:
    """A client that dies in the middle has submitted nothing, and is counted as malformed."""
    dying = await edge.connect()
    dying.send(head("Content-Length: 60000"), b"x" * 50_000)
    await asyncio.sleep(0)
    dying.close()

    (finished,) = await edge.house.recorder.wait_for(IntakeRequestFinished)

    assert (finished.result, finished.status) == ("invalid", 400)
    assert edge.house.recorder.of(ItemAccepted) == []
    assert edge.house.recorder.of(UnexpectedError) == []


async def test_pipelined_requests_are_answered_in_order(edge: Edge, wire: Wire) -> None:
    """Two hundred at once on one connection: each is durable, each has its place."""
    count = 200
    wire.send(*(post(b"%d" % n, f"Idempotency-Key: k{n}") for n in range(count)))

    answers = [await wire.answer() for _ in range(count)]

    ids = [answer.headers["location"] for answer in answers]
    replays = [await edge.submit(b"%d" % n, Idempotency_Key=f"k{n}") for n in range(count)]
    assert {answer.status for answer in answers} == {202}
    assert ids == [f"/v1/items/{replay['id']}" for replay in replays]
    await edge.house.recorder.wait_for(ItemSucceeded, count)


async def test_answer_sent_whole_says_what_any_other_says(edge: Edge, wire: Wire) -> None:
    """The usual answer takes a shorter way; on its last request aiohttp writes the same one."""
    await edge.pause()
    wire.send(post(b"a", "Idempotency-Key: k"))
    await wire.answer()

    wire.send(post(b"a", "Idempotency-Key: k"))
    whole = await wire.answer()
    wire.send(post(b"a", "Idempotency-Key: k", "Connection: close"))
    usual = await wire.answer()

    assert whole.status == usual.status == 202
    assert whole.body == usual.body
    assert usual.headers["connection"] == "close"
    assert {*whole.headers, "connection"} == usual.headers.keys()
    assert whole.headers["idempotency-replayed"] == "true"


async def test_head_of_a_json_answer_has_no_body(edge: Edge, wire: Wire) -> None:
    """The connection goes on behind it: nothing of a body is left between the two answers."""
    wire.send(b"HEAD /v1/queues/work HTTP/1.1\r\nHost: t\r\n\r\n", post(b"a"))

    shown = await wire.answer(has_body=False)
    submitted = await wire.answer()

    assert shown.status == 200
    assert submitted.status == 202
