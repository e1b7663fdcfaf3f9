"""A workload in which everything happens that a panel or a rule asks for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web

from tests.faults.upstream import Hit
from tests.live.site import Site
from tests.waiting import a_moment

TOKEN: Final = "live"
DELAY: Final = "Tirelessd-Delay"
BODY_BYTES: Final = 4_096
# Most items succeed at once. Their number has no divisor in common with that of the queues, so
# every queue gets every kind.
WORDS: Final = (*("ok",) * 18, "flaky", "ok", "flaky", "busy", "slow", "bad", "fail")
ROUND_ROBIN: Final = ("work", "work", "words", "echo")
QUEUES: Final[dict[str, dict[str, Any]]] = {
    "work": {"slots": 4},
    "words": {
        "handler": {
            "type": "python",
            "function": "tests.live.handlers:obey",
            "attempt_timeout_seconds": 5,
        },
        "slots": 2,
    },
    "echo": {"handler": {"type": "echo"}},
    "small": {"handler": {"type": "echo"}, "capacity_items": 3},
}
# What has items and is in no configuration any more.
RETIRED: Final[dict[str, Any]] = {"retired": {"handler": {"type": "echo"}}}
SLO: Final = {"wait_seconds": 1, "end_to_end_seconds": 3, "objective": 0.85}
RETRY: Final = {"max_attempts": 3, "initial_seconds": 0.3, "cap_seconds": 1}


def settings(site: Site) -> dict[str, Any]:
    """A daemon with queues of every kind, who asks its callers who they are."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    scopes = ["submit", "read", "operate"]
    http = {
        "type": "http",
        "url": site.upstream.url,
        "attempt_timeout_seconds": 2,
        "destination": "model",
    }
    return {
        "queues": {
            name: {"handler": http, "retry": RETRY, "slo": SLO, **queue}
            for name, queue in QUEUES.items()
        },
        "auth": {"tokens": [{"name": "all", "sha256": digest, "scopes": scopes}]},
        "limits": {"body_bytes": BODY_BYTES},
        "canary": {"interval_seconds": 1},
        "pre_drain_seconds": 1,
    }


async def busy(_hit: Hit) -> web.Response:
    """Ask for a break."""
    return web.Response(status=429, headers={"Retry-After": "1"})


class Workload:
    """Callers of two daemons for so many seconds; afterwards they are left running."""

    def __init__(self, site: Site, seconds: float) -> None:
        self._site, self._seconds = site, seconds
        self._over = asyncio.Event()

    async def play(self) -> None:
        """Start the daemons, and have everything happen again and again."""
        site = self._site
        site.headers = {"Authorization": f"Bearer {TOKEN}"}
        site.upstream.script["busy"] = busy
        await self._retire()
        for pod in ("pod-a", "pod-b"):
            await site.start(pod, **settings(site))
        for pod in ("pod-a", "pod-b"):
            await site.submit_many(3, queue="small", pod=pod, **{DELAY: "3600"})
        rounds = [
            self._again(each, seconds)
            for each, seconds in (
                (self._submit, 0.05),
                (self._refusals, 0.5),
                (self._batch, 1.0),
                (self._operate, 2.0),
            )
        ]
        restart = self._restart()
        callers = asyncio.gather(*rounds, restart)
        await a_moment(self._seconds)
        self._over.set()
        await callers

    async def _retire(self) -> None:
        """A daemon of yesterday leaves an item of a queue that today's know nothing of."""
        site, now = self._site, settings(self._site)
        await site.start("pod-b", **{**now, "queues": {**now["queues"], **RETIRED}})
        await site.submit_many(1, queue="retired", pod="pod-b", **{DELAY: "3600"})
        await site.stop("pod-b")
        site.forget("pod-b")

    async def _again(self, act: Callable[[int], Awaitable[None]], seconds: float) -> None:
        turn = 0
        while not self._over.is_set():
            # A daemon that is being restarted does not answer; its callers try again.
            with suppress(aiohttp.ClientError, TimeoutError):
                await act(turn)
            turn += 1
            await a_moment(seconds)

    async def _submit(self, turn: int) -> None:
        word, queue = WORDS[turn % len(WORDS)], ROUND_ROBIN[turn % len(ROUND_ROBIN)]
        pod = ("pod-a", "pod-b")[turn // 4 % 2]
        await self._site.submit(word, queue=queue, pod=pod)

    async def _refusals(self, turn: int) -> None:
        submit, path = self._site.submit, "/v1/queues/work/items"
        await submit(**{"Idempotency-Key": "again"})
        await submit(**{DELAY: "soon"})
        await submit(queue="nowhere")
        await submit(Authorization="Bearer nobody")
        await submit(queue="small")
        await self._site.call("POST", path, data=b"x" * (BODY_BYTES + 1))

    async def _batch(self, turn: int) -> None:
        lines = [msgspec.json.encode({"payload": f"ok:{turn}-{each}:"}) for each in range(10)]
        headers = {"Content-Type": "application/x-ndjson"}
        path = "/v1/queues/work/batch"
        await self._site.call("POST", path, data=b"\n".join(lines), headers=headers)

    async def _operate(self, turn: int) -> None:
        site = self._site
        _, receipt = await site.submit("ok", **{DELAY: "3600"})
        await site.call("DELETE", f"/v1/items/{receipt['id']}")
        await site.submit("ok", **{DELAY: "3600"})
        for pod in ("pod-a", "pod-b"):
            await site.call("POST", "/v1/queues/work/pause", pod=pod)
            await a_moment(0.2)
            await site.call("POST", "/v1/queues/work/resume", pod=pod)
        path = "/v1/dead-letters"
        if turn % 5 == 2:
            _, page = await site.call("GET", path, params={"queue": "work", "limit": "2"})
            some = {"ids": [item["id"] for item in page["items"]]}
            await site.call("POST", f"{path}/redrive", json=some)
        await site.call("DELETE", path, params={"queue": "words"})

    async def _restart(self) -> None:
        """One of the two is deployed anew in the middle."""
        await a_moment(self._seconds / 2)
        await self._site.restart("pod-b")


async def short(site: Site) -> None:
    """The form of `make test`."""
    await Workload(site, 20).play()


async def long(site: Site) -> None:
    """The form of `make observe`."""
    await Workload(site, 180).play()
