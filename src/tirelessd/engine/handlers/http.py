"""The handler that POSTs an item to an upstream.

The payload goes out byte for byte, once per attempt: no redirect is followed, no proxy taken from
the environment, no cookie kept, and a POST is never sent again behind the engine's back, not even
when a kept-alive connection turns out to be closed. A 2xx is success, everything else a failure
with a reason; network failures are named in `network`.
"""

from __future__ import annotations

import asyncio
import io
import re
import ssl
from collections.abc import Mapping
from typing import Final, cast

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from tirelessd import __version__
from tirelessd.core.clock import Clock
from tirelessd.core.decision import Complete
from tirelessd.core.destination import http_url
from tirelessd.core.errors import AttemptError, GiveUp, Misconfigured
from tirelessd.core.events import Emit, UpstreamRequestFinished
from tirelessd.core.headers import fits_a_line, forwarded_header_name, free_header_name
from tirelessd.core.item import Context, Item
from tirelessd.core.outcome import reason_of_status
from tirelessd.core.queue import UNNAMED
from tirelessd.core.trace import TraceContext
from tirelessd.engine.handlers.connection import UpstreamConnector
from tirelessd.engine.handlers.masking import Mask, without_payload
from tirelessd.engine.handlers.network import network_failure
from tirelessd.engine.handlers.resolver import ThreadResolver
from tirelessd.engine.handlers.retry_after import seconds_asked
from tirelessd.engine.handlers.upstream import UpstreamResponse

EXCERPT_BYTES: Final = 16_384
_USER: Final = re.compile(r"^([\w+.-]*://)[^/]*@")
# How long before an attempt's limit the body of a failed answer is waited for no longer: a status
# that has come must not be lost to the limit, for a 404 is not tried again and a timeout is.
EXCERPT_MARGIN_SECONDS: Final = 0.1
CONTENT_TYPE_MAX_CHARACTERS: Final = 255
# aiohttp notes every chunk that is not read yet, with some fifty bytes for one that may hold one;
# a sixteenth of this are the most that it notes.
READ_AHEAD_BYTES: Final = 16_384
WRITTEN_AT_ONCE_BYTES: Final = 1_048_576
UNKNOWN_CONTENT: Final = "application/octet-stream"


class HttpConfig(msgspec.Struct, frozen=True):
    """Where to POST to, and how; raises `ValueError` when the URL or a header cannot be used.

    `headers` go with every attempt and win over forwarded ones; `forward_headers` names those of an
    item's headers that are passed on. Connecting, TLS included, may take `connect_timeout_seconds`.
    `read_timeout_seconds` bounds how long the upstream may be silent; None leaves that to the
    attempt's own limit. Of an answer `response_bytes` are read; the body of a failed one is
    waited for `excerpt_seconds`, and never up to the attempt's limit, `attempt_timeout_seconds`.
    `slots` is the most connections there are, and an idle one is kept for `keepalive_seconds`, 0
    for one request each. `ca_file` replaces the system's authorities.
    `destination` is what the upstream is called in metrics.
    """

    url: str
    headers: Mapping[str, str] = {}
    forward_headers: tuple[str, ...] = ()
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float | None = None
    response_bytes: int = 65_536
    excerpt_seconds: float = 2.0
    attempt_timeout_seconds: float = 30.0
    slots: int = 20
    keepalive_seconds: float = 15.0
    ca_file: str | None = None
    destination: str = UNNAMED

    def __post_init__(self) -> None:
        """Refuse what could never be sent, or would change where a request ends."""
        http_url(self.url)
        for name, value in self.headers.items():
            free_header_name(name)
            if not fits_a_line(value):
                raise ValueError(f"the value of header {name!r} does not fit on one line")
        for name in self.forward_headers:
            forwarded_header_name(name)


class HttpHandler:
    """POSTs items to one URL; `emit` gets an event for each request and for each connection."""

    def __init__(self, config: HttpConfig, clock: Clock, emit: Emit) -> None:
        self._config = config
        self._clock = clock
        self._emit = emit
        # Requested exactly as written: quoting anew would turn `%2F` in a query into `/`, and a
        # signed URL into a wrong one.
        self._url = URL(config.url, encoded=True)
        self._headers = CIMultiDict(
            {"User-Agent": f"tirelessd/{__version__}", "Accept": "*/*", **config.headers}
        )
        # Asked for as it is and never unpacked: a result is what came, and no bomb goes off here.
        self._headers["Accept-Encoding"] = "identity"
        # A query may hold a key.
        self._shown_url = config.url.partition("?")[0]
        self._secrets = (*config.headers.values(), self._url.raw_query_string)
        configured = CIMultiDict(config.headers)
        self._forwarded = tuple(
            name.lower() for name in config.forward_headers if name not in configured
        )
        self._resolver = ThreadResolver(clock)
        self._connector: UpstreamConnector | None = None
        self._session: aiohttp.ClientSession | None = None

    def connections(self) -> tuple[int, int]:
        """How many connections are in use, and how many are kept."""
        return self._connector.counts() if self._connector is not None else (0, 0)

    async def open(self) -> None:
        """Get the session ready; no connection is made before the first attempt.

        Raises `Misconfigured` when the authorities cannot be read.
        """
        config = self._config
        self._connector = UpstreamConnector(
            self._resolver,
            config.response_bytes,
            self._clock,
            self._emit,
            limit=config.slots,  # one for each attempt there can be, so that none waits
            ssl=_tls_context(config) if self._url.scheme == "https" else False,
            force_close=not config.keepalive_seconds,
            keepalive_timeout=config.keepalive_seconds or None,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=UpstreamResponse,
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_AHEAD_BYTES,
            # Where the caller said nothing of the payload, aiohttp would.
            skip_auto_headers=("Content-Type",),
            # `connect` covers name lookup, TCP and TLS; the engine bounds the whole.
            timeout=aiohttp.ClientTimeout(
                connect=config.connect_timeout_seconds, sock_read=config.read_timeout_seconds
            ),
        )

    async def close(self) -> None:
        """Close every connection and let the threads go."""
        if self._session is not None:
            await self._session.close()
            self._session = self._connector = None
        await self._resolver.close()

    async def attempt(self, item: Item, context: Context) -> Complete:
        """POST the item once.

        A 2xx completes it with the body's first `response_bytes`, also when there is more; a 204 or
        205 has no result. Cancellation drops the connection at once.
        """
        session = cast(aiohttp.ClientSession, self._session)
        limit_seconds = min(self._config.attempt_timeout_seconds, context.deadline_seconds)
        began_at = self._clock.monotonic()
        limit_at = began_at + limit_seconds
        status: int | None = None
        with context.trace.call(self._shown_url) as call:
            headers = self._request_headers(item, context, call.context)
            try:
                async with session.post(
                    self._url, data=_body(item.payload), headers=headers, allow_redirects=False
                ) as response:
                    status = response.status
                    call.answered(status)
                    return await self._judge(cast(UpstreamResponse, response), item, limit_at)
            except aiohttp.ClientError as error:
                raise network_failure(error, is_tls=self._url.scheme == "https") from error
            finally:
                took_seconds = self._clock.monotonic() - began_at
                destination = self._config.destination
                self._emit(UpstreamRequestFinished(destination, status, took_seconds))

    def _request_headers(
        self, item: Item, context: Context, trace: TraceContext | None
    ) -> CIMultiDict[str]:
        headers = self._headers.copy()
        for name, value in self._from_item(item, trace).items():
            if not fits_a_line(value):
                raise GiveUp(f"the item's {name} does not fit into a header")
            headers[name] = value
        headers["Idempotency-Key"] = headers["Tirelessd-Item-Id"] = item.id
        headers["Tirelessd-Attempt"] = str(context.attempt)
        return headers

    def _from_item(self, item: Item, trace: TraceContext | None) -> dict[str, str]:
        """The headers whose values a caller chose."""
        chosen = {name: item.headers[name] for name in self._forwarded if name in item.headers}
        if trace is not None:
            chosen["traceparent"] = trace.traceparent
            if trace.tracestate:
                chosen["tracestate"] = trace.tracestate
        if item.content_type:
            chosen["Content-Type"] = item.content_type
        return chosen

    async def _judge(self, response: UpstreamResponse, item: Item, limit_at: float) -> Complete:
        status, headers = response.status, response.headers
        if not 200 <= status < 300:
            raise AttemptError(
                reason_of_status(status),
                await self._detail(response, item, limit_at),
                status=status,
                retry_after_seconds=seconds_asked(
                    headers.get("Retry-After"), headers.get("Date"), self._clock.wall()
                ),
            )
        if status in (204, 205):
            return Complete()
        body = await response.read_at_most(self._config.response_bytes)
        return Complete(body, _content_type(headers))

    async def _detail(self, response: UpstreamResponse, item: Item, limit_at: float) -> str:
        """The status, where it points to, and what the body says of it.

        The status alone decides, so a body that does not come, or breaks off, changes nothing.
        """
        left_seconds = limit_at - self._clock.monotonic() - EXCERPT_MARGIN_SECONDS
        try:
            async with asyncio.timeout(min(self._config.excerpt_seconds, left_seconds)):
                body = await response.read_at_most(EXCERPT_BYTES)
        except (aiohttp.ClientError, TimeoutError):
            body = b""
        location = response.headers.get("Location")
        pointed = f" to {_place(location)}" if location and response.status < 400 else ""
        words = _words(_text(body, response.headers))
        # Only so much, for no more than an excerpt can be repeated in one.
        words = without_payload(
            words, _words(item.payload[:EXCERPT_BYTES].decode("utf-8", "replace"))
        )
        # A caller's forwarded headers are as likely to be credentials as the configured ones.
        mask = Mask([*self._secrets, *(item.headers.get(name, "") for name in self._forwarded)])
        said = mask(pointed + (f": {words}" if words else ""))
        return f"HTTP {response.status}{said}"


def _tls_context(config: HttpConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise Misconfigured(f"ca_file {config.ca_file!r} cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _body(payload: bytes) -> bytes | io.BytesIO:
    """In pieces when it is large, so that other attempts get a turn in between."""
    return payload if len(payload) <= WRITTEN_AT_ONCE_BYTES else io.BytesIO(payload)


def _content_type(headers: Mapping[str, str]) -> str:
    """What a result is; it becomes a header again when somebody asks for the result."""
    stated = headers.get("Content-Type", UNKNOWN_CONTENT)
    is_usable = stated.isascii() and stated.isprintable()
    # An encoding nobody asked for was not undone: the bytes are not what they are said to be.
    if not is_usable or len(stated) > CONTENT_TYPE_MAX_CHARACTERS or _is_encoded(headers):
        return UNKNOWN_CONTENT
    return stated


def _place(location: str) -> str:
    """Where a redirection leads, without what may give access there: a user, a query."""
    return _USER.sub(r"\1", location.partition("?")[0].partition("#")[0])


def _words(text: str) -> str:
    return " ".join(text.split())


def _text(body: bytes, headers: Mapping[str, str]) -> str:
    return "(an encoded body)" if _is_encoded(headers) else body.decode("utf-8", "replace")


def _is_encoded(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Encoding", "identity").lower() != "identity"
