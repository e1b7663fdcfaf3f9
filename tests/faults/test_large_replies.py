"""U5: whatever an upstream pours out, little of it is read and nothing of it is kept."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from functools import cache

import aiohttp
import pytest

from tests.faults.experiment import Experiment
from tests.faults.raw_upstream import CHUNKED, RawUpstream, Reply, Wire
from tests.faults.watch import MIB
from tests.waiting import wait_until

GIB = 1 << 30
FLOOD_BYTES = 64 * MIB
# What the two systems between the processes take, and nobody reads.
SOCKET_BYTES = 16 * MIB
RSS_MIB = 20.0
RESULT_BYTES = 65_536
ROUNDS = 10

poured: dict[str, int] = {}


def flood(
    name: str, head: bytes, more: bytes, *, status: int = 0, most: int = FLOOD_BYTES
) -> Reply:
    """A head and then the same bytes over and over; notes how many of them left."""

    async def reply(wire: Wire) -> int:
        try:
            await wire.send(head)
            await wire.pour(more, most)
            await wire.is_gone()
        finally:
            poured[name] = max(poured.get(name, 0), wire.sent_bytes)
        return status

    async def counted(wire: Wire) -> int:
        try:
            return await reply(wire)
        except ConnectionError:
            # The daemon left, and whether it had its answer by then is what `status` says.
            return status

    return counted


@cache
def packed_zeros(encoding: str) -> bytes:
    """64 MiB of zeros, made small when they are first asked for."""
    pack = zlib.compress if encoding == "deflate" else gzip.compress
    return pack(bytes(FLOOD_BYTES), 9)


def bomb(encoding: str) -> Reply:
    """A few hundred kilobytes that say they are 64 MiB."""

    async def reply(wire: Wire) -> int:
        packed = packed_zeros(encoding)
        head = (
            "HTTP/1.1 200 OK\r\n"
            f"Content-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n"
        )
        try:
            await wire.send(head.encode() + packed)
        except ConnectionError:
            return 200
        return 200

    return reply


BODY = b"x" * MIB
LINES = b"X-Filler: " + b"y" * 60 + b"\r\n"
# The reply, and whether it makes the item succeed.
REPLIES: Mapping[str, tuple[Reply, bool]] = {
    name: (flood(name, head, more, status=200 if is_success else 0, most=most), is_success)
    for name, head, more, is_success, most in [
        ("gib", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB, BODY, True, GIB),
        ("gib-chunks", CHUNKED, b"%x\r\n" % MIB + BODY + b"\r\n", True, GIB),
        ("gib-without-length", b"HTTP/1.1 200 OK\r\n\r\n", BODY, True, GIB),
        ("gib-after-204", b"HTTP/1.1 204 No\r\n\r\n", BODY, True, GIB),
        ("gib-behind", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", BODY, True, GIB),
        ("tiny-chunks", CHUNKED, b"1\r\nx\r\n" * 10_000, True, FLOOD_BYTES),
        ("header", b"HTTP/1.1 200 OK\r\nX: ", BODY, False, FLOOD_BYTES),
        ("headers", b"HTTP/1.1 200 OK\r\n", LINES * 1_000, False, FLOOD_BYTES),
        ("folded", b"HTTP/1.1 200 OK\r\nX: y\r\n", b" y\r\n" * 10_000, False, FLOOD_BYTES),
        ("reason", b"HTTP/1.1 200 ", BODY, False, FLOOD_BYTES),
        ("blank-lines", b"", b"\r\n" * MIB, False, FLOOD_BYTES),
        ("no-line", b"", BODY, False, FLOOD_BYTES),
        ("1xx", b"", b"HTTP/1.1 102 Wait\r\n\r\n" * 1_000, False, FLOOD_BYTES),
        ("1xx-lines", b"", b"HTTP/1.1 103 Hint\r\n" + LINES * 60 + b"\r\n", False, FLOOD_BYTES),
        ("extension", CHUNKED + b"5;", BODY, False, FLOOD_BYTES),
        ("extensions", CHUNKED, b"1;" + b"x" * 4_000 + b"\r\nx\r\n", False, FLOOD_BYTES),
        ("chunk-size", CHUNKED, b"0" * MIB, False, FLOOD_BYTES),
        ("trailers", CHUNKED + b"2\r\nok\r\n0\r\n", LINES * 1_000, False, FLOOD_BYTES),
        ("trailer", CHUNKED + b"2\r\nok\r\n0\r\nX: ", BODY, False, FLOOD_BYTES),
        (
            "switched",
            b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            BODY,
            False,
            GIB,
        ),
        ("short", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc", b"", False, 0),
    ]
} | {name: (bomb(name), True) for name in ("gzip", "deflate", "br", "zstd")}


@pytest.mark.row("U5")
@pytest.mark.long
@pytest.mark.timeout(180)
async def test_flood_is_left_unread(experiment: Experiment) -> None:
    """A flood of any part of an answer is cut, its connection dropped, and memory stays flat."""
    async with RawUpstream(
        replies={word: reply for word, (reply, _) in REPLIES.items()}
    ) as upstream:
        experiment.upstream = upstream
        await experiment.start(queue={"retry": {"max_attempts": 1}})
        await warm_up(experiment)
        before = experiment.watch.look()
        assert before is not None

        async with aiohttp.ClientSession() as session:
            for _ in range(ROUNDS):
                for word in REPLIES:
                    await experiment.ledger.submit(session, experiment.url(), word)
            await experiment.settle()
            lengths = await result_lengths(experiment, session)

        async def is_left() -> bool:
            return upstream.open_connections == 0

        await wait_until(is_left, 10)
        peak = experiment.watch.rss_peak_mib
        books = await experiment.finish()

    assert peak <= before.rss_bytes / MIB + RSS_MIB
    assert {name: size for name, size in poured.items() if size > SOCKET_BYTES} == {}
    assert max(lengths) <= RESULT_BYTES
    states = {e.word: books.items[e.item_id]["state"] for e in experiment.ledger.of("acked")}
    wrong = {w: states[w] for w, (_, ok) in REPLIES.items() if (states[w] == "succeeded") != ok}
    assert wrong == {}


async def warm_up(experiment: Experiment) -> None:
    """Let the daemon load and allocate what ordinary work needs."""
    async with experiment.load(rate=200) as load:

        async def is_warm() -> bool:
            return load.sent > 400

        await wait_until(is_warm, 10)


async def result_lengths(experiment: Experiment, session: aiohttp.ClientSession) -> list[int]:
    """The sizes of the results that were kept."""
    lengths = []
    for entry in experiment.ledger.of("acked"):
        if entry.word in REPLIES:
            url = experiment.url(f"/v1/items/{entry.item_id}/result")
            async with session.get(url) as response:
                lengths.append(len(await response.read()) if response.status == 200 else 0)
    return lengths
