"""X2: what a caller sends is for its upstream; no log, page or other caller reads it."""

from __future__ import annotations

import hashlib

import aiohttp
import msgspec
import pytest
from aiohttp import web

from tests.faults.experiment import Experiment
from tests.faults.stranger import port_of, request, say
from tests.faults.test_secrets import pages
from tests.faults.upstream import Hit
from tests.waiting import wait_until

pytestmark = pytest.mark.unhurried

MARK = "PLANTED"
TOKENS = {name: f"{name}-token-0123456789" for name in ("own", "other")}
WORDS = f'"card": "{MARK}-payload-01234", "name": "Zoë"'
KEY = f"{MARK}-key-0123456789"
HEADERS = {"X-Kept-Back": f"{MARK}-kept-back-01234", "Cookie": f"session={MARK}-cookie-01234"}
URL = "/v1/queues/work/items"
BATCH = "/v1/queues/work/batch"
BEARER = f"Authorization: Bearer {TOKENS['own']}"


def payload(word: str) -> str:
    """A payload as the upstream's script reads it."""
    return f"{word}:x:{{{WORDS}}}"


async def repeat(hit: Hit) -> web.Response:
    """An error page that shows the payload as it came, and as a text in JSON."""
    text = payload(hit.word)
    return web.Response(status=500, text=f"{text} {msgspec.json.encode(text).decode()} {text[:40]}")


async def lead_away(hit: Hit) -> web.Response:
    """A redirection that takes the payload along."""
    return web.Response(status=302, headers={"Location": f"/?again={hit.word}&words={MARK}"})


def malformed() -> dict[str, bytes]:
    """Requests with a planted word that are refused, each in another way."""
    mark = MARK.encode()
    return {
        "another token": request(b"x", f"Authorization: Bearer {MARK}-0123456789"),
        "token in the query": request(b"x", path=f"{URL}?access_token={MARK}"),
        "unknown queue": request(b"x", BEARER, path=f"/v1/queues/{MARK}/items"),
        "unknown path": request(b"x", BEARER, path=f"/{MARK}?{MARK}={MARK}"),
        "unknown item": request(b"", BEARER, method="GET", path=f"/v1/items/{MARK}"),
        "unknown option": request(b"x", BEARER, path=f"{URL}?{MARK}={MARK}"),
        "delay that is a word": request(b"x", BEARER, f"Tirelessd-Delay: {MARK}", path=URL),
        "key of two lines": request(b"x", BEARER, f"Idempotency-Key: {MARK}\x01", path=URL),
        "broken batch": request(
            b'{"payload": "%b"' % mark, BEARER, "Content-Type: application/x-ndjson", path=BATCH
        ),
        "unknown field": request(
            b'{"payload": 1, "%b": "%b"}' % (mark, mark),
            *(BEARER, "Content-Type: application/x-ndjson"),
            path=BATCH,
        ),
        "unknown coding": request(b"x", BEARER, f"Content-Encoding: {MARK}", path=URL),
        "no HTTP": f"{MARK} / {MARK}\r\n\r\n".encode(),
        "header without a colon": request(b"x", BEARER, MARK, path=URL),
    }


async def submit(experiment: Experiment, name: str, word: str, key: str) -> tuple[int, str]:
    """What a caller is answered."""
    headers = {
        "Authorization": f"Bearer {TOKENS[name]}",
        "Idempotency-Key": key,
        "Content-Type": "text/plain; charset=utf-8",
        "tracestate": f"secret={MARK}",
        **HEADERS,
    }
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(experiment.url(), data=payload(word).encode()) as response,
    ):
        return response.status, await response.text()


@pytest.mark.row("X2")
async def test_callers_words_are_read_by_their_upstream_only(experiment: Experiment) -> None:
    """Payloads, keys, and headers: in no log line, page or answer to another, however it ends."""
    upstream = experiment.upstream
    upstream.script |= {"repeat": repeat, "away": lead_away}
    tokens = [
        {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), "scopes": ["submit"]}
        for name, token in TOKENS.items()
    ]
    tokens[1]["scopes"] = ["submit", "read"]
    daemon = await experiment.start(
        auth={"tokens": tokens},
        log={"level": "debug"},
        queue={"retry": {"max_attempts": 2}, "handler": {"forward_headers": ["x-tenant"]}},
    )
    port = port_of(daemon.urls["api"])

    firsts = [
        await submit(experiment, "own", word, KEY + word) for word in ("ok", "repeat", "away")
    ]
    again = await submit(experiment, "other", "bad", KEY + "ok")
    refused = {name: await say(port, sent) for name, sent in malformed().items()}
    ids = [msgspec.json.decode(text)["id"] for _, text in firsts]

    async def have_ended() -> bool:
        return [line.get("event") for line in daemon.lines].count("item.dead") == 2

    await wait_until(have_ended, 10)
    said = await pages(experiment, ids, TOKENS["other"])
    assert await experiment.stop() == 0

    assert [status for status, _ in firsts] == [202] * 3
    assert 400 <= again[0] < 500
    for name, heard in refused.items():
        assert heard.statuses, name
        assert 400 <= heard.statuses[0] < 500, name
    assert "HTTP 500: **********" in said
    assert MARK not in said
    # Its own key it may read again, and the item's id.
    assert MARK not in again[1].replace(KEY, "")
    assert [line for line in daemon.lines if MARK in str(line)] == []
    assert MARK not in "".join(daemon.stray_output)
    assert not any("x-kept-back" in map(str.lower, hit.headers) for hit in upstream.hits)
