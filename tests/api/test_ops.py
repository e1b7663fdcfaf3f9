"""The ops listener: probes that never wait, a status for people, and metrics."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from msgspec.structs import replace
from pytest_aiohttp import AiohttpClient

from tests.engine.script import House
from tests.waiting import wait_until
from tirelessd.api.ops import build_ops_app
from tirelessd.core.item import ShownState
from tirelessd.core.queue import QueueConfig
from tirelessd.engine.capacity import Mark
from tirelessd.engine.engine import Status
from tirelessd.engine.health import Health
from tirelessd.engine.pool import PoolReading
from tirelessd.engine.snapshots import TakenSnapshot
from tirelessd.store.base import QueueSnapshot, Snapshot

PATHS = ("/metrics", "/livez", "/readyz", "/startupz", "/statusz", "/scalez")

Client = TestClient[web.Request, web.Application]

WELL = Health(lifecycle="running", is_started=True, failing={}, dead_tasks=())
FULL = QueueSnapshot({ShownState.READY: 100}, 30.0, {ShownState.READY: 90.0})


class StoppedClock:
    """Always a hundred seconds past the snapshots of this file."""

    def monotonic(self) -> float:
        """No time passes."""
        return 0.0

    def wall(self) -> float:
        """Seconds since the epoch."""
        return 1_100.0


class Daemon:
    """What the application is told of the daemon; a test changes it."""

    def __init__(self) -> None:
        self.health = WELL
        pool = PoolReading(
            slots=4,
            busy=1,
            stuck=0,
            is_paused=False,
            unfinished_seconds=2.5,
            longest_running_seconds=2.5,
            mean_attempt_seconds=0.5,
            last_claim_at=1_000.0,
            last_progress_at=0.0,
        )
        taken = TakenSnapshot(
            Snapshot({"work": FULL}, FULL, 4096, 1 << 30, 512), 1_000.0, 0.01, Mark({}, 0)
        )
        self.status = Status("running", {"work": pool}, None, taken, {"slot": 4})

    def application(self) -> web.Application:
        """The application that asks this daemon."""

        async def metrics(_request: web.Request) -> web.StreamResponse:
            return web.Response(text="a_metric 1\n")

        return build_ops_app(metrics, lambda: self.health, lambda: self.status, StoppedClock())


@pytest.fixture
def daemon() -> Daemon:
    """A daemon that runs well, with a full queue."""
    return Daemon()


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, daemon: Daemon) -> Client:
    """A client of its ops listener."""
    return await aiohttp_client(daemon.application())


async def ask(client: Client, path: str) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    response = await client.get(path)
    return response.status, await response.json()


async def test_a_daemon_that_runs_well_says_yes(client: Client) -> None:
    """A full queue does not unready it: its callers get an answer that says so."""
    assert await ask(client, "/livez") == (200, {"live": True, "dead_tasks": []})
    assert await ask(client, "/readyz") == (200, {"ready": True, "failing": {}})
    assert await ask(client, "/startupz") == (200, {"started": True, "lifecycle": "running"})


async def test_a_store_that_is_down_makes_unready_and_not_dead(
    client: Client, daemon: Daemon
) -> None:
    """A restart would not mend it, and would cost every running attempt."""
    daemon.health = replace(WELL, failing={"store": "disk I/O error"})

    ready = await ask(client, "/readyz")
    live, _ = await ask(client, "/livez")

    assert ready == (503, {"ready": False, "failing": {"store": "disk I/O error"}})
    assert live == 200


async def test_a_task_that_gave_up_makes_dead(client: Client, daemon: Daemon) -> None:
    """Nothing in the process will bring it back."""
    daemon.health = replace(WELL, dead_tasks=("claim work",))

    assert await ask(client, "/livez") == (503, {"live": False, "dead_tasks": ["claim work"]})


async def test_a_daemon_that_starts_is_alive_and_not_started(
    client: Client, daemon: Daemon
) -> None:
    """A long migration must not look like a hang."""
    failing = {"lifecycle": "the daemon is starting"}
    daemon.health = replace(WELL, lifecycle="starting", is_started=False, failing=failing)

    assert (await ask(client, "/startupz"))[0] == 503
    assert (await ask(client, "/readyz"))[0] == 503
    assert (await ask(client, "/livez"))[0] == 200


async def test_status_tells_what_is_known(client: Client) -> None:
    """Versions, life, store, and per queue the pool and what the last snapshot counted."""
    _, status = await ask(client, "/statusz")

    assert set(status["versions"]) == {"tirelessd", "python"}
    assert (status["lifecycle"], status["is_ready"]) == ("running", True)
    assert status["store"] == {"is_up": True, "problem": None}
    assert status["snapshot"]["age_seconds"] == 100.0
    assert status["queues"]["work"] == {
        "slots": 4,
        "busy": 1,
        "stuck": 0,
        "is_paused": False,
        "unfinished_seconds": 2.5,
        "longest_running_seconds": 2.5,
        "last_claim_at": "1970-01-01T00:16:40Z",
        "last_progress_at": None,
        "items": {"ready": 100},
        "ready_age_seconds": 30.0,
    }


async def test_status_before_the_first_snapshot(client: Client, daemon: Daemon) -> None:
    """What is not known yet is left out."""
    status = daemon.status
    daemon.status = Status("starting", status.pools, "no answer", None, {})

    code, told = await ask(client, "/statusz")

    assert (code, told["snapshot"]) == (200, None)
    assert "items" not in told["queues"]["work"]
    assert told["store"] == {"is_up": False, "problem": "no answer"}


async def test_a_scaler_learns_what_is_wanted(client: Client) -> None:
    """One of four slots is busy; a hundred items of half a second take them 12.5 seconds."""
    code, wanted = await ask(client, "/scalez")

    work = {"slots": 4, "busy": 1, "ready": 100, "is_paused": False}
    signals = {"utilisation": 0.25, "backlog_seconds": 12.5}
    assert (code, wanted) == (200, {**signals, "queues": {"work": {**work, **signals}}})


async def test_a_paused_queue_wants_no_pods(client: Client, daemon: Daemon) -> None:
    """They would stand about; the queue that wants most is another one."""
    pool = daemon.status.pools["work"]
    queues = {"work": FULL, "play": QueueSnapshot({ShownState.READY: 8}, 1.0, {})}
    daemon.status = replace(
        daemon.status,
        pools={"work": replace(pool, is_paused=True), "play": replace(pool, busy=4)},
        snapshot=TakenSnapshot(
            Snapshot(queues, FULL, 4096, 1 << 30, 512), 1_000.0, 0.01, Mark({}, 0)
        ),
    )

    _, wanted = await ask(client, "/scalez")

    assert wanted["queues"]["work"]["backlog_seconds"] == 0.0
    assert (wanted["utilisation"], wanted["backlog_seconds"]) == (1.0, 1.0)


async def test_a_process_without_slots_wants_nothing(client: Client, daemon: Daemon) -> None:
    """It may have been made to accept only."""
    pool = replace(daemon.status.pools["work"], slots=0, busy=0)
    daemon.status = replace(daemon.status, pools={"work": pool})

    assert await ask(client, "/scalez") == (
        200,
        {"utilisation": 0.0, "backlog_seconds": 0.0, "queues": {}},
    )


@pytest.mark.parametrize("taken_at", [None, 979.0])
async def test_who_does_not_know_says_so(
    client: Client, daemon: Daemon, taken_at: float | None
) -> None:
    """Nothing was counted yet, or too long ago: zero would send pods away."""
    taken = daemon.status.snapshot
    old = replace(taken, taken_at=taken_at) if taken and taken_at else None
    daemon.status = replace(daemon.status, snapshot=old)

    code, told = await ask(client, "/scalez")

    assert (code, told) == (503, {"error": "the store was not counted of late"})


async def test_metrics_are_the_handler_s(client: Client) -> None:
    """The application only gives it a path."""
    response = await client.get("/metrics")

    assert (response.status, await response.text()) == (200, "a_metric 1\n")


@pytest.mark.parametrize("path", PATHS)
async def test_only_reading_is_allowed(client: Client, path: str) -> None:
    """GET and HEAD; all else is refused in JSON, with what is allowed."""
    head = await client.head(path)
    post = await client.post(path)

    assert head.status == 200
    assert (post.status, post.headers["Allow"]) == (405, "GET,HEAD")
    assert await post.json() == {"error": "Method Not Allowed"}


async def test_an_unknown_path_is_refused_in_json(client: Client) -> None:
    """No page of the library's."""
    assert await ask(client, "/admin") == (404, {"error": "Not Found"})


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/metrics"])
async def test_no_answer_is_kept_by_anybody(client: Client, path: str) -> None:
    """A probe's answer from a cache would be worth nothing."""
    response = await client.get(path)

    assert response.headers["Cache-Control"] == "no-store"


async def test_probes_answer_while_the_store_is_gone(
    aiohttp_client: AiohttpClient, house: House
) -> None:
    """Readiness knows it from the write probe; the process itself is well."""
    app = build_ops_app(refuse, house.engine.health, house.engine.status, StoppedClock())
    client = await aiohttp_client(app)
    await house.store.close()

    async def is_unready() -> bool:
        return (await ask(client, "/readyz"))[0] == 503

    await wait_until(is_unready, 10.0)

    assert (await ask(client, "/livez"))[0] == 200
    assert (await ask(client, "/statusz"))[1]["store"]["is_up"] is False


async def refuse(_request: web.Request) -> web.StreamResponse:
    """No metrics here."""
    raise web.HTTPNotFound


async def test_a_running_engine_is_live_ready_and_shown(
    aiohttp_client: AiohttpClient, make_house: Any
) -> None:
    """The real engine's health and status are what the application reads."""
    house = await make_house(QueueConfig("work", slots=3), QueueConfig("play", slots=2))
    app = build_ops_app(refuse, house.engine.health, house.engine.status, StoppedClock())
    client = await aiohttp_client(app)

    answers = [await ask(client, path) for path in ("/livez", "/readyz", "/startupz")]
    _, status = await ask(client, "/statusz")

    assert [code for code, _ in answers] == [200, 200, 200]
    assert {name: queue["slots"] for name, queue in status["queues"].items()} == {
        "work": 3,
        "play": 2,
    }
