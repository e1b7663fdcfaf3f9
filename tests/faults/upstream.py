"""An upstream that answers by a script and remembers every request."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.waiting import a_moment

SLOW_SECONDS = 1.0
ON_ITS_WAY_SECONDS = 0.5


@dataclass
class Hit:
    """One request. Instants are those of the event loop's clock.

    `status` is 0 until the whole answer was sent while the daemon was still there to read it. With
    trouble on the way, a hit is doubtful: nobody here can say whether its answer arrived.
    """

    key: str
    item_id: str
    attempt: int
    status: int = 0
    word: str = ""
    started_at: float = 0.0
    ended_at: float = float("inf")
    headers: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    is_doubtful: bool = False

    def is_success(self, within_seconds: float = float("inf")) -> bool:
        """Whether a 2xx was sent complete, and no later than so long after the start."""
        return 200 <= self.status < 300 and self.ended_at - self.started_at < within_seconds


Script = Callable[[Hit], Awaitable[web.Response]]


@dataclass
class Upstream:
    """Payloads read `<word>:<key>:…`; the word says what to do.

    `ok` answers 200 after `delay_seconds`; `slow` after a second; `fail` always 500; `flaky` 500 on
    the first attempt; `bad` 422; `hang` nothing until `let_go`. Further words: `script`. While
    `outage_status` is set, it is the answer to everything.
    """

    delay_seconds: float = 0.0
    hits: list[Hit] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    hanging: int = 0
    outage_status: int = 0
    doubts: int = field(default=0, init=False)
    keeps_headers: bool = True
    script: dict[str, Script] = field(default_factory=dict)
    url: str = ""
    port: int = 0

    async def __aenter__(self) -> Self:
        """Listen on a free port of loopback."""
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/{path:.*}", self._answer)
        # A handler that still hangs when its caller has gone away is over for this book too.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        host, self.port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{self.port}/"

    async def close(self) -> None:
        """Refuse connections and drop those that are open."""
        await self._runner.cleanup()

    def begin_doubt(self) -> None:
        """From now on nobody knows what arrives; what was sent just before may be on its way."""
        self.doubts += 1
        soon = asyncio.get_running_loop().time() - ON_ITS_WAY_SECONDS
        for hit in self.hits:
            hit.is_doubtful = hit.is_doubtful or hit.ended_at > soon

    def end_doubt(self) -> None:
        """What arrives is known again."""
        self.doubts -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        now = asyncio.get_running_loop().time
        hit = Hit("", request.headers.get("Tirelessd-Item-Id", ""), 0, started_at=now())
        hit.headers = dict(request.headers) if self.keeps_headers else {}
        hit.is_doubtful = self.doubts > 0
        hit.attempt = int(request.headers.get("Tirelessd-Attempt", "0"))
        self.hits.append(hit)
        try:
            body = await request.read()
            hit.digest = hashlib.sha256(body).hexdigest()
            hit.word, hit.key = words_of(body)
            response = await self._response(hit)
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            return web.Response(status=499)
        finally:
            hit.ended_at = now()
            hit.is_doubtful = hit.is_doubtful or self.doubts > 0
        if request.transport is not None and not request.transport.is_closing():
            hit.status = response.status
        return response

    async def _response(self, hit: Hit) -> web.Response:
        if self.outage_status:
            return web.Response(status=self.outage_status)
        if hit.word in self.script:
            return await self.script[hit.word](hit)
        return web.Response(status=await self._status(hit.word, hit.attempt), text="seen")

    async def _status(self, word: str, attempt: int) -> int:
        if word == "hang":
            self.hanging += 1
            await self.let_go.wait()
        elif word == "slow":
            await a_moment(SLOW_SECONDS)
        elif self.delay_seconds:
            await a_moment(self.delay_seconds)
        if word == "fail" or (word == "flaky" and attempt == 1):
            return 500
        return 422 if word == "bad" else 200

    def successes(self, within_seconds: float = float("inf")) -> Counter[str]:
        """How often each key was answered 2xx, complete and in time."""
        return Counter(hit.key for hit in self.hits if hit.is_success(within_seconds))


def words_of(payload: bytes) -> tuple[str, str]:
    """The word and the key of a payload; empty where it has none."""
    # A batch's payloads are JSON, so their texts begin with a quotation mark.
    word, _, rest = payload.removeprefix(b'"').partition(b":")
    key, _, _ = rest.partition(b":")
    return word.decode(errors="replace"), key.decode(errors="replace")
