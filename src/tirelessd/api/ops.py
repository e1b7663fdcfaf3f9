"""The ops listener's application: /metrics, three probes, /statusz for people, /scalez for scalers.

The probes answer from what the engine knows; none touches the store, so a store that hangs can
neither block them nor have the daemon killed, and a full queue is no reason to send nobody here.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from tirelessd import __version__
from tirelessd.api.answers import json_answer
from tirelessd.api.scaling import demand
from tirelessd.core.clock import Clock, instant
from tirelessd.engine.engine import Status
from tirelessd.engine.health import Health
from tirelessd.engine.pool import PoolReading
from tirelessd.engine.snapshots import TakenSnapshot
from tirelessd.store.base import QueueSnapshot

UNAVAILABLE: Final = 503


class Probes:
    """What the ops listener says of the daemon; each answer is JSON, and 503 means no."""

    def __init__(
        self, health: Callable[[], Health], status: Callable[[], Status], clock: Clock
    ) -> None:
        self._health = health
        self._status = status
        self._clock = clock

    async def live(self, _request: web.Request) -> web.Response:
        """Whether the process is worth keeping: its loop answers, and no task has given up."""
        dead = self._health().dead_tasks
        return verdict("live", is_true=not dead, dead_tasks=list(dead))

    async def ready(self, _request: web.Request) -> web.Response:
        """Whether to send items here; the answer lists the checks that fail, a line each."""
        failing = self._health().failing
        return verdict("ready", is_true=not failing, failing=failing)

    async def started(self, _request: web.Request) -> web.Response:
        """Whether the start is over: the store was reached and the slots are up."""
        health = self._health()
        return verdict("started", is_true=health.is_started, lifecycle=health.lifecycle)

    async def show(self, _request: web.Request) -> web.Response:
        """Everything known without asking the store, for people."""
        health, status = self._health(), self._status()
        taken = status.snapshot
        return json_answer(
            {
                "versions": {"tirelessd": __version__, "python": platform.python_version()},
                "lifecycle": status.lifecycle,
                "is_ready": not health.failing,
                "failing": health.failing,
                "dead_tasks": health.dead_tasks,
                "store": {"is_up": status.store_problem is None, "problem": status.store_problem},
                "snapshot": self._snapshot(taken),
                "queues": {
                    name: {**pool_shape(pool), **queue_shape(name, taken)}
                    for name, pool in status.pools.items()
                },
                "tasks": status.tasks,
            }
        )

    async def scale(self, _request: web.Request) -> web.Response:
        """What a scaler goes by; 503 while the counts are missing or old, for then nobody knows."""
        wanted = demand(self._status(), self._clock.wall())
        if wanted is None:
            return json_answer({"error": "the store was not counted of late"}, status=UNAVAILABLE)
        return json_answer(wanted)

    def _snapshot(self, taken: TakenSnapshot | None) -> Mapping[str, Any] | None:
        # Old counts are shown with their age rather than hidden: they are all there is to see.
        if taken is None:
            return None
        return {
            "age_seconds": max(0.0, self._clock.wall() - taken.taken_at),
            "duration_seconds": taken.duration_seconds,
            "size_bytes": taken.snapshot.size_bytes,
            "free_bytes": taken.snapshot.free_bytes,
            "log_bytes": taken.snapshot.log_bytes,
            "unconfigured": counts_shape(taken.snapshot.unconfigured),
        }


def verdict(question: str, *, is_true: bool, **details: Any) -> web.Response:
    """A probe's answer: 200 or 503, and why."""
    return json_answer({question: is_true, **details}, status=200 if is_true else UNAVAILABLE)


def pool_shape(pool: PoolReading) -> Mapping[str, Any]:
    """A pool's reading, its instants as people read them; null for never."""
    return {
        "slots": pool.slots,
        "busy": pool.busy,
        "stuck": pool.stuck,
        "is_paused": pool.is_paused,
        "unfinished_seconds": pool.unfinished_seconds,
        "longest_running_seconds": pool.longest_running_seconds,
        "last_claim_at": instant(pool.last_claim_at) if pool.last_claim_at else None,
        "last_progress_at": instant(pool.last_progress_at) if pool.last_progress_at else None,
    }


def queue_shape(name: str, taken: TakenSnapshot | None) -> Mapping[str, Any]:
    """What the last snapshot counted of the queue; nothing before the first."""
    if taken is None or name not in taken.snapshot.queues:
        return {}
    queue = taken.snapshot.queues[name]
    return {"items": counts_shape(queue), "ready_age_seconds": queue.ready_age_seconds}


def counts_shape(queue: QueueSnapshot) -> Mapping[str, int]:
    """Items per shown state."""
    return {state.value: count for state, count in queue.counts.items()}


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers of the router, such as 404 and 405, as JSON like everything else here."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return json_answer({"error": error.reason}, status=error.status, headers=headers)


def build_ops_app(
    metrics_handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    health: Callable[[], Health],
    status: Callable[[], Status],
    clock: Clock,
) -> web.Application:
    """The application; it takes GET and HEAD, and asks for no token.

    Neither `health` nor `status` may wait for anything.
    """
    probes = Probes(health, status, clock)

    # aiohttp wants a function here, and the handler may be an object that closes.
    async def metrics(request: web.Request) -> web.StreamResponse:
        return await metrics_handler(request)

    # HEAD comes with GET, for probes that have no use for a body.
    app = web.Application(middlewares=[plain_errors])
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/livez", probes.live)
    app.router.add_get("/readyz", probes.ready)
    app.router.add_get("/startupz", probes.started)
    app.router.add_get("/statusz", probes.show)
    app.router.add_get("/scalez", probes.scale)
    return app
