"""/metrics: the registry as text, rendered beside the event loop.

prometheus_client has an aiohttp handler, but it renders in the loop, which some thousand series
would block for tens of milliseconds a scrape.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from tirelessd.observe.exposition import Encode, Exposition

SERVER: Final = "tirelessd"
# Kinds that wait at once; scrapers of one house ask for one or two.
WAITING_KINDS: Final = 16
# More than this many who share a rendering are a flood: then rendering rests for nine tenths of
# the time, or it would take the interpreter from everything else. The bound is for scrapers, who
# wait for some seconds and no more.
CROWD: Final = 16
REST_TIMES: Final = 9
REST_MAX_SECONDS: Final = 1.0
# The library compares versions as they come, fails over what is no number, and repeats the rest in
# its Content-Type.
_ODD_VERSION: Final = re.compile(r"version=(?!\d{1,4}(?:\.\d{1,4}){0,3}[ \t]*(?:[;,]|$))", re.ASCII)


class Kind(NamedTuple):
    """What tells one scrape's answer from another's."""

    accept: str
    is_gzip: bool
    names: frozenset[str]


class Rendering:
    """One answer in the making; `has_begun` is said by the thread that makes it."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.has_begun = False
        self.askers = 0
        self.text: asyncio.Future[bytes]


class ScrapeHandler:
    """An aiohttp handler for the registry, in the format and encoding that the scraper asks for.

    `refresh` is called in the event loop's thread before each rendering, to set what is read and
    not counted. One scrape is rendered at a time; who asks while one of the same kind waits its
    turn shares it.
    """

    def __init__(self, registry: CollectorRegistry, refresh: Callable[[], None]) -> None:
        self._registry = registry
        self._refresh = refresh
        # A thread of its own: the default executor also resolves names for the http handler.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scrape")
        self._renderings: dict[Kind, Rendering] = {}
        self._expositions: dict[tuple[object, object], Exposition] = {}
        self._closing = threading.Event()
        self._rest_seconds = 0.0
        self._was_scraped = False
        self._last: asyncio.Event | None = None

    async def __call__(self, request: web.Request) -> web.Response:
        """Answer a scrape; `name[]` narrows it to the families named."""
        self._was_scraped, last = True, self._last
        kind = kind_of(request)
        if kind not in self._renderings and len(self._renderings) >= WAITING_KINDS:
            busy = {hdrs.RETRY_AFTER: "1", hdrs.SERVER: SERVER}
            return web.Response(status=503, text="too many kinds of scrapes wait", headers=busy)
        headers = {
            hdrs.CONTENT_TYPE: choose_encoder(kind.accept)[1],
            hdrs.VARY: "Accept, Accept-Encoding",
            hdrs.SERVER: SERVER,
        }
        if kind.is_gzip:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        body = await self._rendered(kind)
        if last is not None:
            last.set()
        return web.Response(body=body, headers=headers)

    async def wait_last(self, seconds: float) -> None:
        """Return when a scrape has come after this call, or when time is up.

        At once where nobody has ever scraped: then nobody will.
        """
        if not self._was_scraped:
            return
        self._last = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._last.wait()

    async def _rendered(self, kind: Kind) -> bytes:
        rendering = self._renderings.get(kind)
        # One that has begun may have passed what was counted since.
        if rendering is None or rendering.has_begun:
            self._refresh()
            rendering = self._renderings[kind] = Rendering(kind)
            loop = asyncio.get_running_loop()
            rendering.text = loop.run_in_executor(self._thread, self._render, rendering, loop.time)
            rendering.text.add_done_callback(partial(self._forget, rendering))
        rendering.askers += 1
        # A scraper that goes away takes nobody else's answer with it.
        return await asyncio.shield(rendering.text)

    def _forget(self, rendering: Rendering, _text: asyncio.Future[bytes]) -> None:
        if self._renderings.get(rendering.kind) is rendering:
            del self._renderings[rendering.kind]

    def _render(self, rendering: Rendering, now: Callable[[], float]) -> bytes:
        """Called in the thread; `now` in seconds."""
        self._closing.wait(self._rest_seconds)
        rendering.has_begun = True
        began_at = now()
        text = self._text(rendering.kind)
        is_crowd = rendering.askers > CROWD
        self._rest_seconds = (
            min(REST_MAX_SECONDS, REST_TIMES * (now() - began_at)) if is_crowd else 0.0
        )
        return text

    def _text(self, kind: Kind) -> bytes:
        registry = self._registry
        # The loop goes on counting meanwhile: each series is shown as it was at some moment of
        # the scrape, as with every exporter.
        # The library's own narrowed registry is a collector by shape, not by type.
        collector: Collector = registry.restricted_registry(kind.names) if kind.names else registry
        text = self._exposition(choose_encoder(kind.accept)[0]).text(collector)
        # Level 1 takes a quarter of the time of level 6, for a seventh more bytes.
        return gzip.compress(text, compresslevel=1) if kind.is_gzip else text

    def _exposition(self, encoder: Encode) -> Exposition:
        """The one for this format; kept by what makes a difference, which no scraper can invent."""
        escaping = encoder.keywords["escaping"] if isinstance(encoder, partial) else None
        key = (getattr(encoder, "func", encoder), escaping)
        if key not in self._expositions:
            self._expositions[key] = Exposition(encoder)
        return self._expositions[key]

    def close(self) -> None:
        """Let the thread end; does not wait for it."""
        self._closing.set()
        self._thread.shutdown(wait=False, cancel_futures=True)


def kind_of(request: web.Request) -> Kind:
    """What the scraper asks for; nonsense asks for the oldest format, which everybody reads."""
    accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
    return Kind(
        "" if _ODD_VERSION.search(accept) else accept,
        gzip_accepted(request.headers.get(hdrs.ACCEPT_ENCODING, "")),
        frozenset(request.query.getall("name[]", ())),
    )
