"""C4: what is no HTTP is refused and its connection closed; nothing is stored, hardly logged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
import pytest

from tests.faults.experiment import Experiment, Scale
from tests.faults.stranger import Heard, port_of, request, say

pytestmark = pytest.mark.unhurried

START = b"POST /v1/queues/work/items HTTP/1.1\r\nHost: t\r\n"
END = b"Content-Length: 2\r\n\r\nhi"
CHUNKS = b"\r\n2\r\nhi\r\n0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
AT_ONCE = 16


def line(first: bytes) -> bytes:
    """A request with another request line."""
    return first + b"\r\nHost: t\r\n" + END


REFUSED: Mapping[str, bytes] = {
    "length and chunks": START + b"Content-Length: 5\r\n" + CHUNKED + CHUNKS,
    "chunks and length": START + CHUNKED + b"Content-Length: 5\r\n" + CHUNKS,
    "two lengths": START + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "one length twice": START + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "lengths in a list": START + b"Content-Length: 2, 2\r\n\r\nhi",
    "plus": START + b"Content-Length: +5\r\n\r\nhello",
    "minus": START + b"Content-Length: -2\r\n\r\nhi",
    "hexadecimal": START + b"Content-Length: 0x2\r\n\r\nhi",
    "underscore": START + b"Content-Length: 0_2\r\n\r\nhi",
    "no length": START + b"Content-Length: \r\n\r\nhi",
    "two numbers": START + b"Content-Length: 2 2\r\n\r\nhi",
    "23 digits": START + b"Content-Length: " + b"9" * 23 + b"\r\n\r\nhi",
    "5000 digits": START + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\nhi",
    "Arabic digit": START + "Content-Length: \u0662\r\n\r\nhi".encode(),
    "xchunked": START + b"Transfer-Encoding: xchunked\r\n" + CHUNKS,
    "chunked, identity": START + b"Transfer-Encoding: chunked, identity\r\n" + CHUNKS,
    "identity": START + b"Transfer-Encoding: identity\r\n" + CHUNKS,
    "gzip, chunked": START + b"Transfer-Encoding: gzip, chunked\r\n" + CHUNKS,
    "two codings": START + CHUNKED + b"Transfer-Encoding: identity\r\n" + CHUNKS,
    "chunked twice": START + CHUNKED + CHUNKED + CHUNKS,
    "vertical tab": START + b"Transfer-Encoding: \x0bchunked\r\n" + CHUNKS,
    "space before colon": START + b"Transfer-Encoding : chunked\r\n" + CHUNKS,
    "chunks in HTTP/1.0": START.replace(b"1.1", b"1.0") + CHUNKED + CHUNKS,
    "chunk size": START + CHUNKED + b"\r\nzz\r\nhi\r\n0\r\n\r\n",
    "chunk below nothing": START + CHUNKED + b"\r\n-2\r\nhi\r\n0\r\n\r\n",
    "chunk in hexadecimal": START + CHUNKED + b"\r\n0x2\r\nhi\r\n0\r\n\r\n",
    "chunk beyond 64 bits": START + CHUNKED + b"\r\n" + b"f" * 18 + b"\r\nhi",
    "chunk without its end": START + CHUNKED + b"\r\n2\r\nhiXX0\r\n\r\n",
    "chunks by line feed": START + CHUNKED + b"\r\n2\nhi\n0\n\n",
    "length in a trailer": START + CHUNKED + b"\r\n2\r\nhi\r\n0\r\nContent-Length: 5\r\n\r\n",
    "20000 trailers": START + CHUNKED + b"\r\n2\r\nhi\r\n0\r\n" + b"X: a\r\n" * 20_000 + b"\r\n",
    "bare line feeds": (START + END).replace(b"\r\n", b"\n"),
    "one bare line feed": START + b"X: a\n" + END,
    "bare carriage return": START + b"X: a\rY: b\r\n" + END,
    "obs-fold": START + b"X: a\r\n b\r\n" + END,
    "obs-fold first": b"POST /v1/queues/work/items HTTP/1.1\r\n X: a\r\nHost: t\r\n" + END,
    "two hosts": START + b"Host: u\r\n" + END,
    "one host twice": START + b"Host: t\r\n" + END,
    "no host": START.replace(b"Host: t\r\n", b"") + END,
    "host with a space": START.replace(b": t", b": t u") + END,
    "host with a user": START.replace(b": t", b": u@t") + END,
    "host of bytes": START.replace(b": t", b": \xff\xfe") + END,
    "NUL in a value": START + b"X: a\0b\r\n" + END,
    "NUL in a name": START + b"X\0: a\r\n" + END,
    "NUL in the path": line(b"POST /v1/queues/wo\0rk/items HTTP/1.1"),
    "NULs": bytes(20) + b"\r\n\r\n",
    "bell": START + b"X: a\x07b\r\n" + END,
    "byte in a name": START + b"X\xff: a\r\n" + END,
    "no colon": START + b"nonsense\r\n" + END,
    "no name": START + b": a\r\n" + END,
    "20 kB header": START + b"X: " + b"a" * 20_000 + b"\r\n" + END,
    "20 kB name": START + b"X" * 20_000 + b": a\r\n" + END,
    "200 headers": START + b"".join(b"X%d: a\r\n" % n for n in range(200)) + END,
    "endless headers": START + b"".join(b"X%d: a\r\n" % n for n in range(20_000)),
    "20 kB path": line(b"POST /v1/queues/" + b"a" * 20_000 + b"/items HTTP/1.1"),
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\x11" * 200,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "HTTP/0.9": b"POST /v1/queues/work/items\r\nHost: t\r\n" + END,
    "HTTP/1.9": line(b"POST /v1/queues/work/items HTTP/1.9"),
    "HTTP/2.0": line(b"POST /v1/queues/work/items HTTP/2.0"),
    "HTTP/1.1x": line(b"POST /v1/queues/work/items HTTP/1.1x"),
    "asterisk": line(b"POST * HTTP/1.1"),
    "CONNECT": b"CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n" + START + END,
    "CONNECT to a path": line(b"CONNECT /v1/queues/work/items HTTP/1.1"),
    "small letters": line(b"post /v1/queues/work/items HTTP/1.1"),
    "method of signs": line(b"P@ST /v1/queues/work/items HTTP/1.1"),
    "5 kB method": line(b"A" * 5_000 + b" / HTTP/1.1"),
    "no target": line(b"POST  HTTP/1.1"),
    "relative target": line(b"POST v1/queues/work/items HTTP/1.1"),
    "target with a space": line(b"POST /v1/queues/wo rk/items HTTP/1.1"),
    "target with a byte": line(b"POST /v1/queues/\xff/items HTTP/1.1"),
    "target with a fragment": line(b"POST /v1/queues/work/items#x HTTP/1.1"),
    "target of nonsense": line(b"POST ftp:://[[/v1 HTTP/1.1"),
    "backslashes": line(rb"POST \v1\queues\work\items HTTP/1.1"),
    "spaces first": b"   " + START + END,
    "all bytes": bytes(range(256)) * 4 + b"\r\n\r\n",
    "a request after an error": START + b"Content-Length: +2\r\n\r\nhi" + START + END,
    "an error after a request": START + END + b"BAD\r\n\r\n",
    "more body than said": START + END + b"EXTRA",
}
"""Each is answered 400, and its connection closed; of those with two requests neither is stored."""

FOUND_NOTHING: Mapping[str, bytes] = {
    "asterisk of OPTIONS": b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n",
    "OPTIONS": line(b"OPTIONS /v1/queues/work/items HTTP/1.1"),
    "TRACE": line(b"TRACE /v1/queues/work/items HTTP/1.1"),
    "PATCH": line(b"PATCH /v1/queues/work/items HTTP/1.1"),
    "two slashes": line(b"POST //v1/queues/work/items HTTP/1.1"),
    "another host": line(b"POST //t/v1/queues/work/items HTTP/1.1"),
    "encoded dots": line(b"POST /v1/queues/x/%2e%2e/work/items HTTP/1.1"),
    "dots": line(b"POST /v1/queues/x/../work/items HTTP/1.1"),
    "dot": line(b"POST /v1/./queues/work/items HTTP/1.1"),
    "encoded slash": line(b"POST /v1/queues%2fwork/items HTTP/1.1"),
    "later encoded slash": line(b"POST /v1/queues/work%2fitems HTTP/1.1"),
    "encoded NUL": line(b"POST /v1/queues/work%00/items HTTP/1.1"),
    "encoded byte": line(b"POST /v1/queues/%ff/items HTTP/1.1"),
    "encoded nonsense": line(b"POST /v1/queues/%zz/items HTTP/1.1"),
    "encoded line": line(b"POST /v1/queues/w%0d%0aX:y/items HTTP/1.1"),
    "script": line(b"POST /v1/queues/%3Cscript%3E/items HTTP/1.1"),
    "8 kB path": line(b"POST /v1/queues/" + b"a" * 8_000 + b"/items HTTP/1.1"),
    "parameter": line(b"POST /v1/queues/work/items;x=y HTTP/1.1"),
    "query": line(b"POST /v1/queues/work/items?x=y HTTP/1.1"),
    "last slash": line(b"POST /v1/queues/work/items/ HTTP/1.1"),
    "expectation": START + b"Expect: the worst\r\n" + END,
    "two expectations": START + b"Expect: 100-continue, x\r\n" + END,
    "no proper date": START + b"Tirelessd-Not-Before: tomorrow\r\n" + END,
}
"""Proper HTTP that asks for what is not there: 4xx, and nothing stored."""


async def ask_all(port: int, requests: Mapping[str, bytes], seconds: float) -> dict[str, Heard]:
    """Put each on a connection of its own, some at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(raw: bytes) -> Heard:
        async with gate:
            return await say(port, raw, seconds=seconds)

    return dict(zip(requests, await asyncio.gather(*map(ask, requests.values())), strict=True))


def is_plain_refusal(heard: Heard) -> bool:
    """One problem document of status 400, and the connection closed by the daemon."""
    is_closed = heard.end in {"closed", "reset"}
    return is_closed and heard.statuses == [400] and heard.codes == ["malformed_request"]


@pytest.mark.row("C4")
async def test_what_is_no_http_is_refused_and_its_connection_closed(
    experiment: Experiment, scale: Scale
) -> None:
    """400 and closed, with no item and no word in the log, on both listeners; others go on."""
    daemon = await experiment.start(limits={"header_seconds": 1.0})
    ports = [port_of(daemon.urls[name]) for name in ("api", "ops")]
    before = len(daemon.lines)

    async with experiment.load(rate=scale.pick(50.0, 300.0)):
        heard = await ask_all(ports[0], REFUSED, scale.pick(3.0, 10.0))
        by_ops = await ask_all(ports[1], REFUSED, scale.pick(3.0, 10.0))

    assert {name: h for name, h in heard.items() if not is_plain_refusal(h)} == {}
    assert {name: h for name, h in by_ops.items() if h.statuses not in ([400], [])} == {}
    assert daemon.lines[before:] == []
    await experiment.finish(kills=0)


@pytest.mark.row("C4")
async def test_what_is_not_there_is_told_without_an_item(experiment: Experiment) -> None:
    """A stable code each, whatever the path, the method or the expectation; nothing is logged."""
    daemon = await experiment.start()
    before = len(daemon.lines)

    closing = {
        name: raw.replace(b"Host: t\r\n", b"Host: t\r\nConnection: close\r\n")
        for name, raw in FOUND_NOTHING.items()
    }
    heard = await ask_all(port_of(daemon.urls["api"]), closing, 3.0)

    for name, each in heard.items():
        assert len(each.codes) == len(each.statuses) == 1, (name, each)
        assert 400 <= each.statuses[0] < 500, (name, each)
    assert daemon.lines[before:] == []
    await experiment.finish(kills=0)


@pytest.mark.row("C4")
@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
async def test_nothing_is_made_of_what_follows_an_upgrade(
    experiment: Experiment, protocol: str
) -> None:
    """The request counts and is the last: the rest of the connection is never taken for one."""
    daemon = await experiment.start()
    key = experiment.ledger.new_key()
    fields = (f"Idempotency-Key: {key}", "Connection: Upgrade", f"Upgrade: {protocol}")
    smuggled = request(b"ok:smuggled:", "Idempotency-Key: smuggled", "Connection: keep-alive")
    outer = request(b"x" * 10 + smuggled, "Idempotency-Key: outer", "Connection: keep-alive")
    port = port_of(daemon.urls["api"])

    cut = outer.index(smuggled)
    heard = await say(port, request(f"ok:{key}:".encode(), *fields) + outer[:cut], outer[cut:])
    async with aiohttp.ClientSession() as session:
        entry = await experiment.ledger.submit(session, experiment.url(), "ok", key=key)

    assert heard.end in {"closed", "reset"}
    assert heard.statuses == [202]
    assert heard.documents[0]["id"] == entry.item_id
    await experiment.finish(kills=0)
