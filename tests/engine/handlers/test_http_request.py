"""What reaches the upstream: the payload and the allowed headers, byte for byte, once."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from tests.engine.handlers.upstream import (
    OK,
    Upstream,
    a_context,
    an_item,
    attempt_at,
    failure_at,
    handler_for,
    sending,
    status,
)
from tirelessd import GiveUp, __version__
from tirelessd.engine.handlers.http import HttpConfig

PAYLOADS = {
    "empty": b"",
    "nul": b"\0",
    "every byte": bytes(range(256)),
    "not utf-8": b"\xff\xfe\xc3(",
    "line ends": b"\r\n\r\n\n\r",
    "a request": b"0\r\n\r\nPOST /admin HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
    "1 MiB": random.Random(1).randbytes(1_048_576),
    "more than 1 MiB": random.Random(2).randbytes(1_048_577),
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
async def test_payload_arrives_byte_for_byte(payload: bytes) -> None:
    """The upstream gets exactly the bytes the caller sent, whatever they are."""
    async with Upstream(sending(OK)) as upstream:
        await attempt_at(upstream.url, an_item(payload))

    assert [request.body for request in upstream.requests] == [payload]


async def test_request_has_these_headers_and_no_others() -> None:
    """A request carries what the design lists, set once each, and nothing a library thought of."""
    item = an_item(b"[1, 2]", "application/json; charset=utf-8")

    async with Upstream(sending(OK)) as upstream, handler_for(upstream.url) as handler:
        await handler.attempt(item, a_context(3, traceparent="00-aa-bb-01", tracestate="v=1"))

    [request] = upstream.requests
    assert request.line == b"POST /predict?model=a%2Fb HTTP/1.1"
    assert sorted((name.lower(), value) for name, value in request.headers) == [
        (b"accept", b"*/*"),
        (b"accept-encoding", b"identity"),
        (b"content-length", b"6"),
        (b"content-type", b"application/json; charset=utf-8"),
        (b"host", f"localhost:{upstream.port}".encode()),
        (b"idempotency-key", b"0193-item"),
        (b"tirelessd-attempt", b"3"),
        (b"tirelessd-item-id", b"0193-item"),
        (b"traceparent", b"00-aa-bb-01"),
        (b"tracestate", b"v=1"),
        (b"user-agent", f"tirelessd/{__version__}".encode()),
    ]


async def test_item_without_content_type_is_sent_without_one() -> None:
    """Where the caller said nothing of the payload, nothing is claimed of it."""
    async with Upstream(sending(OK)) as upstream:
        await attempt_at(upstream.url, an_item(b"?", content_type=""))

    assert upstream.requests[0].values(b"content-type") == []


async def test_only_allowed_headers_are_forwarded() -> None:
    """A caller's header reaches the upstream only when the configuration names it, in any case."""
    item = an_item(headers={"x-tenant": "shop", "x-secret": "hidden", "accept": "text/csv"})

    async with Upstream(sending(OK)) as upstream:
        await attempt_at(upstream.url, item, forward_headers=("X-Tenant", "accept", "x-absent"))

    [request] = upstream.requests
    assert request.values(b"x-tenant") == [b"shop"]
    assert request.values(b"accept") == [b"text/csv"]
    assert request.values(b"x-secret") == request.values(b"x-absent") == []


async def test_configured_header_wins_over_a_forwarded_one() -> None:
    """What the operator set cannot be replaced by a caller."""
    item = an_item(headers={"x-tenant": "intruder"})
    configured = {"X-Tenant": "shop", "User-Agent": "shop/2", "Authorization": "Bearer secret"}

    async with Upstream(sending(OK)) as upstream:
        await attempt_at(
            upstream.url, item, headers=configured, forward_headers=("x-tenant", "user-agent")
        )

    [request] = upstream.requests
    assert request.values(b"x-tenant") == [b"shop"]
    assert request.values(b"user-agent") == [b"shop/2"]
    assert request.values(b"authorization") == [b"Bearer secret"]


@pytest.mark.parametrize(
    "value",
    ["", "plain", 'a "quoted", (odd); value=1', "tab\tinside", "käse 🧀", "a" * 8_000, "%0d%0a"],
    ids=["empty", "plain", "quoted", "tab", "utf-8", "long", "percent"],
)
async def test_header_value_arrives_byte_for_byte(value: str) -> None:
    """A forwarded value and a content type reach the upstream as the UTF-8 they came as."""
    item = an_item(content_type=f"text/plain; note={value}", headers={"x-note": value})

    async with Upstream(sending(OK)) as upstream:
        await attempt_at(upstream.url, item, forward_headers=("x-note",))

    [request] = upstream.requests
    assert request.values(b"x-note") == [value.encode()]
    assert request.values(b"content-type") == [f"text/plain; note={value}".strip().encode()]


BROKEN_VALUES = ["a\r\nContent-Length: 1", "a\nb", "a\rb", "a\0b", "\x1b[2J", "\x7f", "\udce9"]


@pytest.mark.parametrize("value", BROKEN_VALUES, ids=ascii)
@pytest.mark.parametrize("place", ["header", "content type", "traceparent", "tracestate"])
async def test_value_that_would_break_framing_is_never_sent(value: str, place: str) -> None:
    """An item whose value does not fit on a header line is given up, without a connection."""
    header = {"x-note": value} if place == "header" else {}
    parent = value if place == "traceparent" else "00-aa-bb-01"
    state = value if place == "tracestate" else None
    item = an_item(b"{}", value if place == "content type" else "text/plain", header)

    async with (
        Upstream(sending(OK)) as upstream,
        handler_for(upstream.url, forward_headers=("x-note",)) as handler,
    ):
        with pytest.raises(GiveUp, match="does not fit into a header"):
            await handler.attempt(item, a_context(1, parent, state))

    assert upstream.connections == 0


async def test_kept_alive_connection_serves_several_attempts() -> None:
    """Attempts one after the other share a connection, unless keeping one is switched off."""
    async with Upstream(sending(OK)) as upstream:
        async with handler_for(upstream.url) as handler:
            for number in range(3):
                await handler.attempt(an_item(), a_context(number + 1))
        kept = upstream.connections
        async with handler_for(upstream.url, keepalive_seconds=0.0) as handler:
            for number in range(3):
                await handler.attempt(an_item(), a_context(number + 1))

    assert kept == 1
    assert upstream.connections == 1 + 3
    assert [request.values(b"connection") for request in upstream.requests[3:]] == [[b"close"]] * 3


async def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request goes to the upstream itself, whatever proxy the environment names."""
    async with Upstream(sending(OK)) as proxy, Upstream(sending(OK)) as upstream:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://localhost:{proxy.port}")
        await attempt_at(upstream.url)

    assert (proxy.connections, upstream.connections) == (0, 1)


async def test_cookies_are_not_kept() -> None:
    """What an upstream sets on one attempt is not sent with the next."""
    async with (
        Upstream(status(200, Set_Cookie="session=1; Path=/")) as upstream,
        handler_for(upstream.url) as handler,
    ):
        for number in range(2):
            await handler.attempt(an_item(), a_context(number + 1))

    assert [request.values(b"cookie") for request in upstream.requests] == [[], []]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["elsewhere", "itself"])
async def test_redirect_is_not_followed(code: int, to: str) -> None:
    """A redirect is a failure that names its target; nobody gets a second request."""
    async with Upstream(sending(OK)) as elsewhere:
        target = f"http://localhost:{elsewhere.port}/" if to == "elsewhere" else "/predict"
        async with Upstream(status(code, Location=target)) as upstream:
            failure = await failure_at(upstream.url)

    assert (failure.reason, failure.status) == ("http_3xx", code)
    assert failure.detail == f"HTTP {code} to {target}"
    assert (elsewhere.connections, len(upstream.requests)) == (0, 1)


async def test_redirect_is_named_without_what_gives_access() -> None:
    """A signed URL's query, a user and a fragment stay out of the history and the log."""
    target = "https://user:word@elsewhere.example/a/b?signature=0123#token=0123"
    async with Upstream(status(302, Location=target)) as upstream:
        failure = await failure_at(upstream.url)

    assert failure.detail == "HTTP 302 to https://elsewhere.example/a/b"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "models:8000/predict"}, "absolute http:// or https:// URL"),
        ({"url": "ftp://models/predict"}, "absolute http:// or https:// URL"),
        ({"url": "/predict"}, "absolute http:// or https:// URL"),
        ({"url": "http://[::1"}, "its host is none"),
        ({"url": "http://models:99999/"}, "must have a port from 1 to 65535"),
        ({"url": "http://0x7f.1/"}, "must have its IP address written in full"),
        ({"headers": {"Host": "elsewhere"}}, "must not name host: it frames the request"),
        ({"headers": {"content-length": "1"}}, "it frames the request"),
        ({"headers": {"Proxy-Authorization": "x"}}, "set by tirelessd or by a proxy"),
        ({"headers": {"X-Note": "a\r\nb: c"}}, "'X-Note' does not fit on one line"),
        ({"headers": {"X Note": "a"}}, "must be a header name"),
        ({"forward_headers": ("Transfer-Encoding",)}, "it frames the request"),
        ({"forward_headers": ("idempotency-key",)}, "set by tirelessd"),
        ({"forward_headers": ("Authorization",)}, "credentials are for tirelessd alone"),
        ({"forward_headers": ("x\n",)}, "must be a header name"),
    ],
    ids=repr,
)
def test_unusable_configuration_is_refused(options: dict[str, Any], why: str) -> None:
    """A URL that is none, or a header that would frame the request, is refused before the start."""
    with pytest.raises(ValueError, match=re.escape(why)):
        HttpConfig(**{"url": "http://models:8000/predict", **options})


def test_credentials_in_the_url_are_refused_without_showing_them() -> None:
    """A password in the URL is refused, and the message does not repeat it."""
    with pytest.raises(ValueError, match="put them into headers") as caught:
        HttpConfig("http://shop:hunter2@models/predict")

    assert "hunter2" not in str(caught.value)
