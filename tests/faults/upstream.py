"""An upstream that answers by a script and remembers every request."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.waiting import a_moment


@dataclass
class Hit:
    """One request; `status` is 0 when the daemon went away before the whole answer was sent."""

    key: str
    item_id: str
    attempt: int
    status: int = 0


@dataclass
class Upstream:
    """Payloads read `<word>:<key>`; the word says what to do.

    `ok` answers 200 after `delay_seconds`; `fail` always 500; `flaky` 500 on the first attempt;
    `bad` 422; `hang` nothing until `let_go`.
    """

    delay_seconds: float = 0.0
    hits: list[Hit] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    hanging: int = 0
    url: str = ""

    async def __aenter__(self) -> Self:
        """Listen on a free port of loopback."""
        app = web.Application()
        app.router.add_post("/", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self.let_go.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        word, _, key = (await request.text()).partition(":")
        attempt = int(request.headers["Tirelessd-Attempt"])
        hit = Hit(key, request.headers["Tirelessd-Item-Id"], attempt)
        self.hits.append(hit)
        response = web.Response(status=await self._status(word, attempt), text=f"seen {key}")
        await response.prepare(request)
        await response.write_eof()
        if request.transport is not None and not request.transport.is_closing():
            hit.status = response.status
        return response

    async def _status(self, word: str, attempt: int) -> int:
        if word == "hang":
            self.hanging += 1
            await self.let_go.wait()
        elif self.delay_seconds:
            await a_moment(self.delay_seconds)
        if word == "fail" or (word == "flaky" and attempt == 1):
            return 500
        return 422 if word == "bad" else 200

    def successes(self) -> Counter[str]:
        """How often each key was answered 2xx."""
        return Counter(hit.key for hit in self.hits if 200 <= hit.status < 300)
