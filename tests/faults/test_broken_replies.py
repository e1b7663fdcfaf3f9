"""U2: each way in which a reply breaks is told apart, tried again, and leaks no connection."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from tests.faults.experiment import Experiment
from tests.faults.raw_upstream import (
    CHUNKED,
    RawUpstream,
    Reply,
    Wire,
    answer,
    at_first,
    closing,
    hanging,
    sending,
)
from tests.waiting import a_moment
from tirelessd.core.outcome import Reason

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
FORGED = (
    b'\x1b[2J\x07\r\n{"event":"forged","level":"error"}\ntirelessd_forged{a="b"} 1\n'
    b"<script>\xe2\x80\xae\xff\x00\xed\xa0\x80"
)

REPLIES: Mapping[str, tuple[Reply, str]] = {
    "close-before": (closing(), "before it (was )?answered(: closed)?$"),
    "rst-before": (closing(is_reset=True), "before it was answered: Connection reset"),
    "half-head": (closing(HEAD[:20]), "broke after 20 bytes of the answer's head: closed"),
    "rst-head": (
        closing(HEAD[:20], is_reset=True),
        "broke after 20 bytes of the answer's head: Connection reset by peer",
    ),
    "half-body": (closing(HEAD + b"half"), r"broke off: closed: .*4 of 100 bytes"),
    "rst-body": (
        closing(HEAD + b"half", is_reset=True),
        "broke off: Connection reset by peer: .*4 of 100 bytes",
    ),
    "half-chunk": (closing(CHUNKED + b"5\r\nha"), "broke off: closed: .*transfer length"),
    "bad-chunk": (sending(CHUNKED + b"zz\r\n"), "broke off: it is not HTTP .*chunk size"),
    "garbage": (closing(os.urandom(2_000)), "not HTTP as it should be: Bad status line"),
    "tls": (closing(b"\x15\x03\x01\x00\x02\x02\x16"), "not HTTP as it should be: .*x15"),
    "two-lengths": (
        sending(HEAD[:-2] + b"Content-Length: 3\r\n\r\nabc"),
        "Duplicate Content-Length",
    ),
    "status-999": (answer(999, b"odd"), "HTTP 999: odd"),
    "forged": (answer(500, FORGED), r"HTTP 500: \\x1b\[2J\\x07 \{"),
    "forged-reason": (
        sending(b"HTTP/1.1 500 \x1b[2J\xff\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", 500),
        "HTTP 500",
    ),
}


@pytest.mark.row("U2")
@pytest.mark.long
@pytest.mark.timeout(180)
async def test_broken_reply_is_told_apart_and_tried_again(experiment: Experiment) -> None:
    """Whatever breaks, the next attempt delivers the item, and its history says what it was."""
    async with RawUpstream() as upstream:
        experiment.upstream = upstream
        upstream.replies = {word: at_first(reply) for word, (reply, _) in REPLIES.items()}
        await experiment.start()

        async with experiment.load(word={"ok": 40, **dict.fromkeys(REPLIES, 1)}):
            await a_moment(20)
        histories = await first_failures(experiment)
        books = await experiment.finish()

    assert {item["state"] for item in books.items.values()} == {"succeeded"}
    assert histories.keys() == REPLIES.keys()
    for word, failure in histories.items():
        assert failure["reason"] in set(Reason), failure
        assert re.search(REPLIES[word][1], failure["detail"]), (word, failure)
        assert failure["detail"].isprintable()
    assert not any("forged" in str(life) for life in books.lives)
    assert not any("cookie" in {name.lower() for name in hit.headers} for hit in books.hits)


async def first_failures(experiment: Experiment) -> dict[str, Any]:
    """The first failed attempt of one item of each word."""
    entries = {e.word: e for e in experiment.ledger.of("acked") if e.word in REPLIES}
    found = {}
    async with aiohttp.ClientSession() as session:
        for word, entry in entries.items():
            async with asyncio.timeout(30):
                while not (history := await history_of(experiment, session, entry.item_id)):
                    await a_moment()
            found[word] = history[0]
    return found


async def history_of(
    experiment: Experiment, session: aiohttp.ClientSession, item_id: str
) -> list[Any]:
    """The failed attempts of an item so far."""
    async with session.get(experiment.url(f"/v1/items/{item_id}")) as response:
        return list((await response.json())["history"])


async def refuse_all(wire: Wire) -> None:
    """A connection that is reset as soon as it is there."""
    wire.reset()


async def say_plain(wire: Wire) -> None:
    """What a plain HTTP port says to a TLS handshake."""
    await wire.reader.read(10)
    await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def close_second(wire: Wire) -> int:
    """A kept-alive connection that ends under its second request."""
    if getattr(wire, "is_used", False):
        wire.writer.close()
        return 0
    wire.is_used = True  # type: ignore[attr-defined]
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return 200


DESTINATIONS = {
    "refused": ("connect", "Connection refused"),
    "swallowed": ("connect", "no connection, TLS included, within connect_timeout_seconds"),
    "reset": ("protocol|connect", "before it (was )?answered|Connection reset by peer"),
    "plain": ("tls", "TLS handshake with .* failed"),
    "silent": ("timeout", "no answer within 2 s"),
}


@pytest.mark.row("U2")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_destination_that_cannot_be_talked_to(experiment: Experiment) -> None:
    """A refused, a swallowed, a reset and a misread connection have a reason and words each."""
    async with AsyncExitStack() as stack:
        reset = await stack.enter_async_context(RawUpstream(greeting=refuse_all))
        plain = await stack.enter_async_context(RawUpstream(greeting=say_plain))
        silent = await stack.enter_async_context(RawUpstream(always=hanging))
        closed, full = stack.enter_context(socket.socket()), stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        fill_backlog(stack, full)
        urls = {
            "work": experiment.upstream.url,
            "refused": f"http://127.0.0.1:{closed.getsockname()[1]}/",
            "swallowed": f"http://127.0.0.1:{full.getsockname()[1]}/",
            "reset": reset.url,
            "plain": plain.url.replace("http:", "https:"),
            "silent": silent.url,
        }
        await experiment.start(queues={name: queue_to(url) for name, url in urls.items()})
        async with aiohttp.ClientSession() as session:
            ids = {
                name: (await experiment.ledger.submit(session, experiment.url(path), "ok")).item_id
                for name in DESTINATIONS
                for path in [f"/v1/queues/{name}/items"]
            }
            await experiment.settle()
            for name, (reason, words) in DESTINATIONS.items():
                history = await history_of(experiment, session, ids[name])
                assert all(re.fullmatch(reason, each["reason"]) for each in history), repr(
                    (name, history)
                )
                assert all(re.search(words, each["detail"]) for each in history), (name, history)
                assert len(history) == 3
        await experiment.finish()


def fill_backlog(stack: AsyncExitStack, listener: socket.socket) -> None:
    """Make a listener whose system answers no handshake any more."""
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(3):
        caller = stack.enter_context(socket.socket())
        caller.settimeout(0)
        caller.connect_ex(listener.getsockname())


def queue_to(url: str) -> dict[str, Any]:
    """A queue with short times."""
    return {
        "handler": {
            "type": "http",
            "url": url,
            "attempt_timeout_seconds": 2,
            "connect_timeout_seconds": 1,
            "keepalive_seconds": 1,
        },
        "slots": 4,
        "retry": {"max_attempts": 3, "initial_seconds": 0.2, "cap_seconds": 2},
    }


@pytest.mark.row("U2")
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_stale_connections_cost_an_attempt_each(experiment: Experiment) -> None:
    """An upstream that closes every kept connection under its second request loses nothing."""
    async with RawUpstream(always=close_second) as upstream:
        experiment.upstream = upstream
        # Half of all attempts meet a used connection, so that eight would not do for every item.
        await experiment.start(queue={"retry": {"max_attempts": 30}})

        async with experiment.load():
            await a_moment(10)
        books = await experiment.finish()

    assert {item["state"] for item in books.items.values()} == {"succeeded"}
    assert upstream.open_connections <= books.slots
